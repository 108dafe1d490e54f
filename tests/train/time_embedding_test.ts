/** Training of networks whose timesteps are embedded by fixed frequencies or by a table. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";
import { loadLatestCheckpoint } from "../../lib/files/checkpoint.ts";
import { reconstructEma } from "../../lib/files/ema_snapshots.ts";
import { unetParameters } from "../../lib/model/network.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { microNetwork, ofType, run, stateOf } from "../support/train/micro.ts";

const SEED = 5;
const WEIGHT = "time_proj.weight";

const cases: readonly (readonly [what: string, Partial<TrainOptions>, trained: boolean])[] = [
  ["frequencies stay as drawn, in spite of weight decay", {
    model: microNetwork({ timeEmbeddingType: "fourier" }),
    objective: "flow",
  }, false],
  ["a table of timesteps learns", {
    model: microNetwork({ timeEmbeddingType: "learned", numTrainTimesteps: 50 }),
    timesteps: 50,
  }, true],
];

for (const [what, options, trained] of cases) {
  Deno.test(`${what}, and a resumed run ends in the same bits`, async () => {
    await inTemporaryDirectory(async (directory) => {
      const [whole, parts] = [join(directory, "a"), join(directory, "b")];
      const settings = { ...options, weightDecay: 0.5, emaProfiles: [0.1, 0.2], seed: SEED };
      const events = await run({ ...settings, out: whole, steps: 12 });
      await run({ ...settings, out: parts, steps: 5 });
      await run({ out: parts, resume: true, steps: 12 });
      assert.deepEqual(await stateOf(parts), await stateOf(whole));

      assert.ok(ofType(events, "step").every(({ loss }) => Number.isFinite(loss)));
      const { trainerTensors, ema, trainer } = await loadLatestCheckpoint(whole);
      const { settings: { model } } = trainer as { settings: Required<Pick<TrainOptions, "model">> };
      const table = unetParameters(model);
      const before = table.fromMemory(table.initialize(SEED)).get(WEIGHT)!.data;
      const { tensors: reconstructed } = await reconstructEma(whole, 0.15);
      const after = [
        reconstructed.get(WEIGHT),
        ema.get(WEIGHT),
        ...["raw", "ema0", "ema1"].map((of) => trainerTensors.get(`${of}.${WEIGHT}`)),
      ];
      for (const tensor of after) {
        const same = [...tensor!.data as Float32Array].every((value, i) => value === before[i]);
        assert.equal(same, !trained);
      }
    });
  });
}

Deno.test("processes that a time embedding does not fit are refused before anything is trained", async () => {
  const refused: readonly (readonly [Partial<TrainOptions>, RegExp])[] = [
    [
      { model: microNetwork({ timeEmbeddingType: "fourier" }) },
      /objective epsilon, whose last timestep is 0/,
    ],
    [
      { model: microNetwork({ timeEmbeddingType: "fourier" }), objective: "edm" },
      /objective edm, whose times are below 0/,
    ],
    [
      { model: microNetwork({ timeEmbeddingType: "learned", numTrainTimesteps: 50 }) },
      /num_train_timesteps: expected at least the 1000/,
    ],
  ];
  for (const [options, message] of refused) {
    await assert.rejects(run({ ...options, steps: 1 }), (error: Error) => {
      assert.match(error.message, message);
      return error instanceof ConfigError;
    });
  }
});
