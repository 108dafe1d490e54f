/** Every objective, through a whole run. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { loadLatestCheckpoint, saveCheckpoint } from "../../lib/files/checkpoint.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { endOf, ofType, patternImages, run, stateOf } from "../support/train/micro.ts";

/** Variants of the objective, each with the scheduler that its checkpoints name. */
const VARIANTS: readonly (readonly [options: Partial<TrainOptions>, scheduler: string])[] = [
  [{ objective: "epsilon" }, "DDPMScheduler"],
  [{ objective: "v" }, "DDPMScheduler"],
  [{ objective: "x0" }, "DDPMScheduler"],
  [{ objective: "v", schedule: "cosine", timesteps: 20, zeroTerminalSnr: true }, "DDPMScheduler"],
  [{ objective: "v", schedule: "cosine", weighting: "min-snr" }, "DDPMScheduler"],
  [{ objective: "epsilon", weighting: "p2", gamma: 0.5, loss: "huber", stratified: true }, "DDPMScheduler"],
  [{ objective: "x0", weighting: "soft-min-snr" }, "DDPMScheduler"],
  [{ objective: "epsilon", learnedVariance: true, schedule: "cosine" }, "DDPMScheduler"],
  [{ objective: "flow" }, "FlowMatchEulerDiscreteScheduler"],
  [{ objective: "flow", flowTimes: "logit-normal" }, "FlowMatchEulerDiscreteScheduler"],
  [{ objective: "edm" }, "EDMEulerScheduler"],
];

for (const [options, scheduler] of VARIANTS) {
  const name = Object.values(options).join(", ");
  Deno.test(`${name}: validation loss falls, and an interrupted run comes to the same bits`, async () => {
    await inTemporaryDirectory(async (directory) => {
      const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
      const settings = { data: patternImages(80), batch: 8, lr: 4e-3, epochs: 10, ...options };
      const { history } = endOf(await run({ ...settings, out: straight }));
      const [first, last] = [history[0].valLoss!, history.at(-1)!.valLoss!];
      assert.ok(last < 0.95 * first, `validation loss ${first}, then ${last}`);

      await run(
        { ...settings, out: resumed },
        ({ type, step = 0 }: { type: string; step?: number }) => type === "epoch" && step >= 40,
      );
      await run({ data: settings.data, out: resumed, resume: true });
      assert.deepEqual(await stateOf(resumed), await stateOf(straight));

      const { schedulerConfig } = await loadLatestCheckpoint(straight);
      assert.equal(schedulerConfig._class_name, scheduler);
      const index = JSON.parse(await Deno.readTextFile(join(straight, "model_index.json")));
      assert.deepEqual(index.scheduler, ["diffusers", scheduler]);
    });
  });
}

Deno.test("a run of an earlier version, stored with diffusers' prediction type, continues with the same bits", async () => {
  await inTemporaryDirectory(async (directory) => {
    for (const [objective, prediction] of [["v", "v_prediction"], ["x0", "sample"]] as const) {
      const [straight, resumed] = [join(directory, `${objective} straight`), join(directory, objective)];
      await run({ objective, steps: 6, out: straight });
      await run({ objective, steps: 3, out: resumed });
      const { path: _, ...checkpoint } = await loadLatestCheckpoint(resumed);
      const { objective: _objective, ...settings } = checkpoint.trainer.settings as Record<string, unknown>;
      const trainer = { ...checkpoint.trainer, settings: { ...settings, prediction } };
      await saveCheckpoint(resumed, { ...checkpoint, trainer });
      const [start] = ofType(await run({ out: resumed, resume: true, steps: 6 }), "start");
      assert.equal(start.settings.objective, objective);
      assert.deepEqual(await stateOf(resumed), await stateOf(straight));
    }
  });
});
