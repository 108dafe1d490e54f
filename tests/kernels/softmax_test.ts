import { softmaxBackward, softmaxForward } from "../../kernels/softmax.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { differences, noise } from "../reference/differences.ts";
import { softmaxGradientReference, softmaxReference } from "../reference/softmax.ts";
import { type Storage, STORAGES } from "../support/storage.ts";

Deno.test("softmax reference gradient matches central differences", () => {
  const [length, scale] = [5, 0.3];
  const [u, dy] = [noise(15, 1), noise(15, 2)];
  const f = () => softmaxReference(u.map((v) => scale * v), length);
  assertClose(
    softmaxGradientReference(f(), dy, length, scale),
    differences(f, u, dy),
    { absolute: 1e-9 },
    "dx",
  );
});

async function runSoftmax(
  storage: Storage,
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
  length: number,
  scale: number,
) {
  const host = {
    x: storage.array(packChannels(x, length)),
    dy: storage.array(packChannels(dy, length)),
  };
  const [y, dx] = [host.x, host.x].map((like) => storage.empty(like.length));
  const shape = { rows: x.length / length, length, stride: 4 * Math.ceil(length / 4) };
  await storage.run([
    ...softmaxForward<HostArray>(shape, { x: host.x, y }),
    ...softmaxBackward<HostArray>({ ...shape, scale }, { y, dy: host.dy, dx }),
  ]);
  // Unpacking checks that padding lanes are zero.
  return { y: unpackChannels(y, length), dx: unpackChannels(dx, length) };
}

const SHAPES = [[1, 1], [3, 4], [9, 5], [20, 35], [16, 64], [130, 256], [2, 1025]];
for (const storage of STORAGES) {
  for (const [rows, length] of SHAPES) {
    const name = `x=[${rows},${length}]${storage.suffix}`;
    Deno.test(`softmax forward and backward match reference: ${name}`, async () => {
      const x = storage.rounded(noise(rows * length, 3).map((v) => 6 * v));
      const dy = storage.rounded(noise(rows * length, 4));
      const { y, dx } = await runSoftmax(storage, x, dy, length, 0.125);
      const want = softmaxReference(x, length);
      // WGSL allows exp(v) an error of 3 + 2|v| units in the last place, |v| up to 12 here: 1.6e-6 of y.
      assertClose(y, want, storage.stored({ absolute: 1e-7, relative: 3e-6 }), "y");
      // The gradient is of the shares as they were stored.
      const gradient = softmaxGradientReference(
        storage.half ? Float64Array.from(y) : want,
        dy,
        length,
        0.125,
      );
      assertClose(dx, gradient, storage.stored({ absolute: 1e-7, relative: 1e-5 }), "dx");
    });
  }
}

const EXTREMES: [string, number[]][] = [
  ["scores up to 1e4 of either sign", [1e4, -1e4, 9999, 0, 1e4, 5]],
  ["scores all at -1e4", [-1e4, -1e4, -1e4, -1e4, -1e4, -1e4]],
  ["equal scores", [2, 2, 2, 2, 2, 2]],
  ["one score above the others by 200", [0, 0, 0, 0, 0, 200]],
];
for (const [storage, what, scores] of STORAGES.flatMap((s) => EXTREMES.map((e) => [s, ...e] as const))) {
  Deno.test(`softmax is right for ${what}${storage.suffix}`, async () => {
    const [x, dy] = [storage.rounded(scores), storage.rounded(noise(6, 5))];
    const { y, dx } = await runSoftmax(storage, x, dy, 6, 1);
    const want = softmaxReference(x, 6);
    assertClose(y, want, storage.stored({ absolute: 2e-6 }), "y");
    const shares = storage.half ? Float64Array.from(y) : want;
    assertClose(dx, softmaxGradientReference(shares, dy, 6, 1), storage.stored({ absolute: 4e-6 }), "dx");
  });
}
