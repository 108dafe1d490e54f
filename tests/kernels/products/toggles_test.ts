/** Toggles of Dawn that drop its checks change no bit of products in kernels for GPUs. */
import assert from "node:assert/strict";
import { type BackendOptions, DAWN_TOGGLES } from "../../../lib/gpu/backend.ts";
import { openGpu } from "../../../lib/gpu/open.ts";
import { packChannels } from "../../support/layout.ts";
import {
  backwardScratch,
  CONV2D,
  emptyLikelihoodSums,
  forwardScratch,
  gradients,
  inputs,
  packWeight,
  pixels,
  shape,
  type Way,
  weights,
} from "../../support/conv2d_checks.ts";
import { runOnArrays, TILE } from "../../support/gpu.ts";
import { digest } from "../../support/train/micro.ts";

/** Sizes that no tile or vector divides, and pixels whose sum is split into parts of different lengths. */
const SHAPE = shape(3, 1, [3, 14, 14, 7], 3);

/** Fewest unrolled multiply-adds, which take drivers seconds to compile. */
const LAYOUT = "tile_32x32x16_64_db";

const WAY: Way = {
  passes: CONV2D,
  target: { ...TILE, choose: (_, names) => names.find((name) => name.endsWith(LAYOUT)) ?? names[0] },
};

async function bitsOf(options: BackendOptions): Promise<string[]> {
  const gpu = await openGpu(options);
  const { passes, target } = WAY;
  const weight = packWeight(weights(SHAPE), SHAPE);
  const x = packChannels(inputs(SHAPE), 7);
  const y = new Float32Array(4 * pixels(SHAPE)).fill(NaN);
  const dy = packChannels(gradients(SHAPE), 3);
  const dw = new Float32Array(weight.length).fill(NaN);
  const forward = passes.forward(
    target,
    SHAPE,
    { x, weight, y, scratch: forwardScratch(WAY, SHAPE) },
    "forward",
  );
  const backward = passes.backward(
    target,
    SHAPE,
    { x, weight, dy, dw, sums: emptyLikelihoodSums(WAY, SHAPE), scratch: backwardScratch(WAY, SHAPE, false) },
    "backward",
  );
  const launches = [...forward, ...backward];
  const names = launches.map(({ kernel }) => kernel.name);
  assert.ok(names.includes(`conv2d_forward_${LAYOUT}`), `${names}`);
  assert.ok(names.includes(`conv2d_backward_weight_rows_${LAYOUT}`), `${names}`);
  const sum = launches.find(({ kernel }) => kernel.name.startsWith("conv2d_backward_weight"))!;
  const { turns, share } = sum.params as Record<string, number>;
  assert.ok(turns > share && turns % share > 0);
  const results = await runOnArrays(gpu, launches);
  gpu.close();
  assert.ok(results.every((result) => !result.some(Number.isNaN)));
  return results.map((result) => digest(result));
}

Deno.test("a convolution and its weight gradient on Dawn have the same bits with its checks and without, in kernels for GPUs", async () => {
  const checked = await bitsOf({ backend: "dawn", toggles: [] });
  assert.deepEqual(await bitsOf({ backend: "dawn", toggles: DAWN_TOGGLES }), checked);
});
