/** Training and sampling in mixed precision on matrix units, emulated: the kernels, layouts and plans of a GPU that has them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { EMULATED_MATRICES } from "../../kernels/target.ts";
import { Gpu } from "../../lib/gpu/device.ts";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { endOf, microNetwork, ofType, run, stateOf } from "../support/train/micro.ts";

const test = await testGpu();
/** The test's adapter, which emulates matrix units, as a GPU: kernels for software adapters are not used. */
const gpu = new Gpu(test.device, { ...test.adapter, software: false }, {}, test.subgroups);

const MIXED = {
  gpu,
  precision: "mixed",
  model: microNetwork({ dropout: 0.1 }),
  batch: 4,
  logEvery: 1,
} as const;

Deno.test("a run on matrix units learns what one in float32 does but for roundings, and is bit-identical when resumed", async () => {
  assert.deepEqual(gpu.adapter.matrices, EMULATED_MATRICES);
  await inTemporaryDirectory(async (directory) => {
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    const events = await run({ ...MIXED, out: straight, steps: 4 });
    assert.deepEqual(ofType(events, "warning"), []);
    for (let steps = 1; steps <= 4; steps++) {
      const rest = steps === 1 ? MIXED : { gpu, logEvery: 1, resume: true };
      assert.deepEqual(ofType(await run({ ...rest, out: resumed, steps }), "warning"), []);
    }
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
    // The test's own adapter has other kernels.
    const single = await run({ ...MIXED, gpu: test, precision: "float32", steps: 4 });
    const losses = (of: typeof events) => ofType(of, "step").map(({ loss }) => loss);
    const [mixed, expected] = [losses(events), losses(single)];
    assert.equal(mixed.length, 4);
    // Weights are rounded to 11 bits; another seed changes losses by a tenth.
    mixed.forEach((loss, i) => assert.ok(Math.abs(loss / expected[i] - 1) < 5e-3, `${mixed}; ${expected}`));
    assert.ok(Math.abs(endOf(events).history[0].valLoss! / endOf(single).history[0].valLoss! - 1) < 5e-3);

    await imagesOf(straight);
  });
});

/** Images have the same bits in every batch. */
async function imagesOf(path: string): Promise<void> {
  const model = await DDPM.load(path, { gpu, precision: "mixed", onWarning: assert.fail });
  const draw = async (count: number, batch: number, seed = 3) =>
    (await model.generate({ class: "first", count, batch, seed, steps: 3, guidance: 2 })).pixels;
  const together = await draw(3, 3);
  assert.deepEqual(await draw(3, 2), together);
  const size = together.length / 3;
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await draw(1, 1, 3 + i), together.slice(i * size, (i + 1) * size));
  }
  assert.ok(Math.max(...together) > Math.min(...together));
  await model.close();
}
