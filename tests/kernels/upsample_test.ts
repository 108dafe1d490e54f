import assert from "node:assert/strict";
import { upsampleBackward, upsampleForward } from "../../kernels/upsample.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { differences, noise } from "../reference/differences.ts";
import { type Shape4, upsampleGradientReference, upsampleReference } from "../reference/upsample.ts";
import { STORAGES } from "../support/storage.ts";

Deno.test("upsample reference gradient matches central differences", () => {
  const shape: Shape4 = [2, 2, 3, 2];
  const [x, dy] = [noise(24, 1), noise(96, 2)];
  const want = differences(() => upsampleReference(shape, x), x, dy);
  // The function is linear, so differences are exact up to float64.
  assertClose(upsampleGradientReference(shape, dy), want, { absolute: 1e-10 }, "dx");
});

const SHAPES: Shape4[] = [[2, 8, 8, 12], [1, 1, 1, 1], [2, 5, 7, 6], [3, 1, 4, 3], [2, 16, 16, 32]];
const CASES = STORAGES.flatMap((storage) =>
  SHAPES.flatMap((shape) => [false, true].map((withAddend) => ({ storage, shape, withAddend })))
);
for (const { storage, shape, withAddend } of CASES) {
  const name = `x=[${shape}]${withAddend ? " with the gradient so far" : ""}${storage.suffix}`;
  Deno.test(`upsample forward and backward match reference: ${name}`, async () => {
    const [batch, height, width, channels] = shape;
    const size = batch * height * width * channels;
    const [x, dy, addend] = [size, 4 * size, size].map((count, i) => storage.rounded(noise(count, i + 3)));
    const pack = (values: Float64Array) => storage.array(packChannels(values, channels));
    const host = { x: pack(x), dy: pack(dy) };
    const y = storage.empty(host.dy.length);
    const dx = storage.empty(host.x.length);
    const sizes = { batch, height, width, channels };
    await storage.run([
      ...upsampleForward<HostArray>(sizes, { x: host.x, y }),
      ...upsampleBackward<HostArray>(sizes, {
        dy: host.dy,
        addend: withAddend ? pack(addend) : undefined,
        dx,
      }),
    ]);
    assert.deepEqual([...unpackChannels(y, channels)], [...upsampleReference(shape, x)]);
    const want = upsampleGradientReference(shape, dy).map((v, i) => v + (withAddend ? addend[i] : 0));
    // Four roundings of sums up to 5.
    assertClose(unpackChannels(dx, channels), want, storage.stored({ absolute: 1e-6 }), "dx");
  });
}
