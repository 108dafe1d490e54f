import assert from "node:assert/strict";
import { spatialSum } from "../../kernels/spatial_sum.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { differences, noise } from "../reference/differences.ts";
import { spatialSumReference } from "../reference/spatial_sum.ts";
import { FLOAT16, STORAGES } from "../support/storage.ts";

Deno.test("spatial_sum's reference is the gradient of a bias on every position, by central differences", () => {
  const [batch, positions, channels] = [2, 3, 2];
  const dy = noise(batch * positions * channels, 1);
  const bias = noise(batch * channels, 2);
  const spread = () =>
    dy.map((_, i) => bias[Math.floor(i / (positions * channels)) * channels + i % channels]);
  // The function is linear, so differences are exact up to float64.
  const want = differences(spread, bias, dy);
  assertClose(spatialSumReference([batch, positions, channels], dy), want, { absolute: 1e-10 }, "dx");
});

const SHAPES = [[1, 1, 1], [2, 35, 6], [3, 3, 9], [5, 64, 64], [1, 1024, 4]] as const;
const CASES = STORAGES.flatMap((storage) =>
  SHAPES.flatMap((shape) => [0, 8].map((first) => ({ storage, shape, first })))
);
for (const { storage, shape: [batch, spatial, channels], first } of CASES) {
  const name = `dy=[${batch},${spatial},${channels}] to channel ${first}`;
  Deno.test(`spatial_sum matches reference: ${name}${storage.suffix}`, async () => {
    const dy = storage.rounded(noise(batch * spatial * channels, 3));
    // Other channels belong to other sums.
    const padded = 4 * Math.ceil(channels / 4);
    const width = first === 0 ? padded : first + padded + 4;
    const dx = new Float32Array(batch * width).fill(7);
    await storage.run(
      spatialSum<HostArray>({ batch, spatial, channels, first, width }, {
        dy: storage.array(packChannels(dy, channels)),
        dx,
      }, "test"),
    );
    const rows = Array.from({ length: batch }, (_, n) => [...dx.subarray(n * width, (n + 1) * width)]);
    const written = rows.flatMap((row) => row.splice(first, padded));
    assert.ok(rows.flat().every((value) => value === 7));
    const want = spatialSumReference([batch, spatial, channels], dy);
    // Up to 256 roundings of partial sums up to 30, each by 2^-25 of it, which are random and so add up like a root.
    assertClose(unpackChannels(written, channels), want, { absolute: 2e-5 }, "dx");
  });
}

Deno.test("spatial_sum of float16 is a float32, which holds what float16 cannot", async () => {
  const dy = FLOAT16.array(new Float32Array(4 * 1024).fill(1000));
  const dx = new Float32Array(4).fill(NaN);
  const shape = { batch: 1, spatial: 1024, channels: 4, first: 0, width: 4 };
  await FLOAT16.run(spatialSum<HostArray>(shape, { dy, dx }, "test"));
  assert.deepEqual(dx, new Float32Array(4).fill(1_024_000));
});
