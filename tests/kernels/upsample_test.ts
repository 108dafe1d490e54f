import assert from "node:assert/strict";
import { upsampleBackward, upsampleForward } from "../../kernels/upsample.ts";
import { assertClose } from "../close.ts";
import { type HostArray, runOnArrays, testGpu } from "../gpu.ts";
import { packChannels, unpackChannels } from "../layout.ts";
import { differences, noise } from "../reference/differences.ts";
import { type Shape4, upsampleGradientReference, upsampleReference } from "../reference/upsample.ts";

Deno.test("upsample reference gradient matches central differences", () => {
  const shape: Shape4 = [2, 2, 3, 2];
  const [x, dy] = [noise(24, 1), noise(96, 2)];
  const want = differences(() => upsampleReference(shape, x), x, dy);
  // The function is linear, so differences are exact up to float64.
  assertClose(upsampleGradientReference(shape, dy), want, { absolute: 1e-10 }, "dx");
});

const SHAPES: Shape4[] = [[2, 8, 8, 12], [1, 1, 1, 1], [2, 5, 7, 6], [3, 1, 4, 3], [2, 16, 16, 32]];
for (const shape of SHAPES) {
  for (const withAddend of [false, true]) {
    const name = `x=[${shape}]${withAddend ? " with the gradient so far" : ""}`;
    Deno.test(`upsample forward and backward match reference: ${name}`, async () => {
      const [batch, height, width, channels] = shape;
      const size = batch * height * width * channels;
      const [x, dy, addend] = [noise(size, 3), noise(4 * size, 4), noise(size, 5)];
      const host = { x: packChannels(x, channels), dy: packChannels(dy, channels) };
      const y = new Float32Array(host.dy.length).fill(NaN);
      const dx = new Float32Array(host.x.length).fill(NaN);
      const sizes = { batch, height, width, channels };
      await runOnArrays(await testGpu(), [
        ...upsampleForward<HostArray>(sizes, { x: host.x, y }),
        ...upsampleBackward<HostArray>(sizes, {
          dy: host.dy,
          addend: withAddend ? packChannels(addend, channels) : undefined,
          dx,
        }),
      ]);
      assert.deepEqual([...unpackChannels(y, channels)], [...upsampleReference(shape, x)]);
      const want = upsampleGradientReference(shape, dy).map((v, i) => v + (withAddend ? addend[i] : 0));
      // Four roundings of sums up to 5.
      assertClose(unpackChannels(dx, channels), want, { absolute: 1e-6 }, "dx");
    });
  }
}
