import { spatialSum } from "../../kernels/spatial_sum.ts";
import { assertClose } from "../close.ts";
import { type HostArray, runOnArrays, testGpu } from "../gpu.ts";
import { packChannels, unpackChannels } from "../layout.ts";
import { differences, noise } from "../reference/differences.ts";
import { spatialSumReference } from "../reference/spatial_sum.ts";

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
for (const [batch, spatial, channels] of SHAPES) {
  for (const withAddend of [false, true]) {
    const name = `dy=[${batch},${spatial},${channels}]${withAddend ? " with the gradient so far" : ""}`;
    Deno.test(`spatial_sum matches reference: ${name}`, async () => {
      const dy = noise(batch * spatial * channels, 3);
      const addend = noise(batch * channels, 4);
      const dx = packChannels(addend, channels).fill(NaN);
      await runOnArrays(
        await testGpu(),
        spatialSum<HostArray>({ batch, spatial, channels }, {
          dy: packChannels(dy, channels),
          addend: withAddend ? packChannels(addend, channels) : undefined,
          dx,
        }, "test"),
      );
      const want = spatialSumReference([batch, spatial, channels], dy)
        .map((sum, i) => sum + (withAddend ? addend[i] : 0));
      // Up to 256 roundings of partial sums up to 30, each by 2^-25 of it, which are random and so add up like a root.
      assertClose(unpackChannels(dx, channels), want, { absolute: 2e-5 }, "dx");
    });
  }
}
