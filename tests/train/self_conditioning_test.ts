/** Training with self-conditioning, through whole runs. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";
import { loadLatestCheckpoint, loadPipeline } from "../../lib/files/checkpoint.ts";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { assertSame } from "../support/same.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { endOf, patternImages, run, stateOf } from "../support/train/micro.ts";

const SETTINGS = { data: patternImages(80), selfConditioning: true, epochs: 6, lr: 4e-3 };
const FIRST = "conv_in.weight";

Deno.test("validation loss falls, and a run interrupted in mid-epoch comes to the same bits", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    const { history } = endOf(await run({ ...SETTINGS, out: straight }));
    const [first, last] = [history[0].valLoss!, history.at(-1)!.valLoss!];
    assert.ok(last < 0.95 * first, `validation loss ${first}, then ${last}`);

    const stop = ({ type, step = 0 }: { type: string; step?: number }) => type === "step" && step >= 13;
    await run({ ...SETTINGS, out: resumed, logEvery: 1 }, stop);
    assert.equal((await loadLatestCheckpoint(resumed)).step, 13);
    await run({ data: SETTINGS.data, out: resumed, resume: true });
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));

    // The network reads its estimates, and its file says so.
    const { tensors, unetConfig } = await loadPipeline(straight);
    assert.deepEqual([unetConfig.self_conditioning, unetConfig.in_channels, unetConfig.out_channels], [
      true,
      6,
      3,
    ]);
    assert.deepEqual(tensors.get(FIRST)!.shape.slice(0, 2), [8, 6]);

    // Every sampler's evaluations are given them, in the model's own class.
    const model = await DDPM.load(straight, { gpu: await testGpu() });
    for (const sampler of ["ddim", "heun", "unipc"] as const) {
      const images = await model.generate({ sampler, steps: 2, class: 1, guidance: 2 });
      assert.ok(new Set(images.pixels).size > 3, sampler);
    }
    await model.close();
    await assert.rejects(
      run({ out: resumed, resume: true, selfConditioning: false, epochs: 7 }),
      ConfigError,
    );
  });
});

Deno.test("with augmentation, a learned variance, accumulation and activation checkpointing it trains, too", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    const all = {
      ...SETTINGS,
      augment: 0.3,
      learnedVariance: true,
      accumulate: 2,
      checkpointActivations: true,
    };
    const settings = { ...all, data: patternImages(40), epochs: 2 };
    await run({ ...settings, out: straight });
    await run({ ...settings, out: resumed, logEvery: 1 }, ({ type }) => type === "step");
    await run({ data: settings.data, out: resumed, resume: true });
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
    const { unetConfig } = await loadPipeline(straight);
    assert.deepEqual([unetConfig.in_channels, unetConfig.out_channels], [6, 6]);
  });
});

Deno.test("a plain model becomes self-conditioned with weights of zero, and back", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [plain, conditioned, back] = ["plain", "conditioned", "back"].map((name) => join(directory, name));
    const still = { data: SETTINGS.data, model: undefined, lr: 1e-30, warmup: 0, steps: 1 };
    const weightOf = async (out: string) => {
      const { data } = (await loadLatestCheckpoint(out)).trainerTensors.get(`raw.${FIRST}`)!;
      return [...data as Float32Array];
    };
    await run({ data: SETTINGS.data, epochs: 1, out: plain });
    await run({ ...still, init: plain, out: conditioned, selfConditioning: true });
    const before = (await loadPipeline(plain)).tensors.get(FIRST)!.data as Float32Array;
    const after = await weightOf(conditioned);
    const taps = 9;
    for (let o = 0; o < 8; o++) {
      assertSame(
        after.slice(o * 6 * taps, (o * 6 + 3) * taps),
        before.slice(o * 3 * taps, (o + 1) * 3 * taps),
        "own",
      );
      const added = after.slice((o * 6 + 3) * taps, (o + 1) * 6 * taps);
      assert.ok(added.every((value) => Math.abs(value) < 1e-20), "new");
    }
    // They learn, so the estimates of the first pass reach the network in the second.
    const moved = join(directory, "moved");
    await run({ ...still, lr: 1e-3, init: plain, out: moved, selfConditioning: true });
    const learnt = await weightOf(moved);
    assert.ok(learnt.some((value, i) => i % (6 * taps) >= 3 * taps && Math.abs(value) > 1e-6), "learnt");
    await run({ ...still, init: conditioned, out: back, selfConditioning: false });
    const averaged = (await loadPipeline(conditioned)).tensors.get(FIRST)!.data as Float32Array;
    assertSame((await weightOf(back)).slice(0, 3 * taps), averaged.slice(0, 3 * taps), "back");
    // Without being told, a run keeps what its initial model has.
    const kept = join(directory, "kept");
    await run({ ...still, init: conditioned, out: kept });
    assert.equal((await loadPipeline(kept)).unetConfig.self_conditioning, true);
  });
});
