import assert from "node:assert/strict";
import { AUGMENTATION_DIM, drawAugmentationForward } from "../../kernels/draw_augmentation.ts";
import { drawAugmentationReference } from "../reference/augmentation.ts";
import { assertClose } from "../support/close.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { unpackChannels } from "../support/layout.ts";
import { stepWords } from "../support/step.ts";

const STEP = { step: 5, stream: 1 };
const KEY: [number, number] = [3, 4];

async function draw(batch: number, probability: number, [height, width] = [32, 24], step = 5) {
  const flips = Array.from({ length: batch }, (_, n) => n % 2);
  const maps = new Float32Array(6 * batch).fill(NaN);
  const vectors = new Float32Array(12 * batch).fill(NaN);
  await runOnArrays(
    await testGpu(),
    drawAugmentationForward<HostArray>({ batch, probability, height, width }, {
      step_state: stepWords({ ...STEP, step, seedLo: KEY[0], seedHi: KEY[1] }),
      draws: Uint32Array.from(flips.flatMap((flip, n) => [n, 0, flip])),
      ...{ maps, vectors },
    }),
  );
  return { flips, maps, vectors };
}

for (const probability of [0.12, 0.6, 1]) {
  Deno.test(`maps and vectors at probability ${probability} match the reference`, async () => {
    const batch = 70; // more than a workgroup
    const { flips, maps, vectors } = await draw(batch, probability);
    const expected = flips.map((flip, n) =>
      drawAugmentationReference({ probability, height: 32, width: 24, ...STEP, key: KEY }, n, flip)
    );
    const wanted = expected.flatMap(({ map: [[xx, xy, x0], [yx, yy, y0]] }) => [xx, xy, x0, yx, yy, y0]);
    // Offsets are up to 20 pixels.
    assertClose(maps, wanted, { absolute: 2e-6, relative: 2e-6 }, "maps");
    const told = expected.flatMap(({ vector }) => vector);
    assertClose(unpackChannels(vectors, AUGMENTATION_DIM), told, { absolute: 2e-6 }, "vectors");
    assert.ok(vectors.every((value, i) => i % 12 < AUGMENTATION_DIM || value === 0), "padding");
    // Each of the transformations is among the samples, and each is missing in others unless all are to be applied.
    for (const k of [0, 1, 2, 4, 5, 7]) {
      assert.ok(expected.some(({ vector }) => vector[k] !== 0), `number ${k} is never set`);
      if (probability < 1) {
        assert.ok(expected.some(({ vector }) => vector[k] === 0), `number ${k} is always set`);
      }
    }
  });
}

Deno.test("without luck nothing is applied but the flips, exactly", async () => {
  const { flips, maps, vectors } = await draw(70, 0);
  const positive = (values: Float32Array) => [...values].map((value) => value + 0);
  assert.deepEqual(positive(maps), flips.flatMap((flip) => [flip ? -1 : 1, 0, 0, 0, 1, 0]));
  assert.deepEqual(positive(vectors), flips.flatMap((flip) => [flip, ...Array(11).fill(0)]));
});

Deno.test("the same step draws the same augmentation, another step another", async () => {
  const [first, again, other] = [await draw(4, 1), await draw(4, 1), await draw(4, 1, [32, 24], 6)];
  assert.deepEqual(again, first);
  assert.notDeepEqual(other.maps, first.maps);
});
