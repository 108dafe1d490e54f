import { averagePoolBackward } from "../../kernels/average_pool_gradient.ts";
import { averagePoolGradientReference, averagePoolReference } from "../reference/average_pool.ts";
import { differences, noise } from "../reference/differences.ts";
import type { Shape4 } from "../reference/upsample.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { STORAGES } from "../support/storage.ts";

Deno.test("average pooling's reference gradient matches central differences", () => {
  const shape: Shape4 = [2, 2, 3, 2];
  const [x, dy] = [noise(96, 1), noise(24, 2)];
  const want = differences(() => averagePoolReference(shape, x), x, dy);
  // The function is linear, so differences are exact up to float64.
  assertClose(averagePoolGradientReference(shape, dy), want, { absolute: 1e-10 }, "dx");
});

const SHAPES: Shape4[] = [[2, 4, 4, 12], [1, 1, 1, 1], [2, 5, 7, 6], [3, 1, 4, 3], [2, 8, 8, 32]];
const CASES = STORAGES.flatMap((storage) =>
  SHAPES.flatMap((shape) => [false, true].map((withAddend) => ({ storage, shape, withAddend })))
);
for (const { storage, shape, withAddend } of CASES) {
  const name = `y=[${shape}]${withAddend ? " with the gradient so far" : ""}${storage.suffix}`;
  Deno.test(`the gradient of average pooling matches the reference: ${name}`, async () => {
    const [batch, height, width, channels] = shape;
    const size = batch * height * width * channels;
    const [dy, addend] = [size, 4 * size].map((count, i) => storage.rounded(noise(count, i + 3)));
    const pack = (values: Float64Array) => storage.array(packChannels(values, channels));
    const host = { dy: pack(dy) };
    const dx = storage.empty(4 * host.dy.length);
    const sizes = { batch, height, width, channels };
    const soFar = withAddend ? { addend: pack(addend) } : {};
    await storage.run([
      ...averagePoolBackward<HostArray>(sizes, { dy: host.dy, ...soFar, dx }),
    ]);
    const wantX = averagePoolGradientReference(shape, dy).map((v, i) => v + (withAddend ? addend[i] : 0));
    // A rounding of sums up to 2.
    const tolerance = storage.stored({ absolute: 1e-6 });
    assertClose(unpackChannels(dx, channels), wantX, tolerance, "dx");
  });
}
