import { softmaxForward } from "../../kernels/softmax.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { noise } from "../reference/differences.ts";
import { softmaxReference } from "../reference/softmax.ts";
import { type Storage, STORAGES } from "../support/storage.ts";

async function runSoftmax(storage: Storage, x: ArrayLike<number>, length: number) {
  const host = storage.array(packChannels(x, length));
  const y = storage.empty(host.length);
  const shape = { rows: x.length / length, length, stride: 4 * Math.ceil(length / 4) };
  await storage.run(softmaxForward<HostArray>(shape, { x: host, y }));
  // Unpacking checks that padding lanes are zero.
  return unpackChannels(y, length);
}

const SHAPES = [[1, 1], [3, 4], [9, 5], [20, 35], [16, 64], [130, 256], [2, 1025]];
for (const storage of STORAGES) {
  for (const [rows, length] of SHAPES) {
    const name = `x=[${rows},${length}]${storage.suffix}`;
    Deno.test(`softmax matches reference: ${name}`, async () => {
      const x = storage.rounded(noise(rows * length, 3).map((v) => 6 * v));
      const y = await runSoftmax(storage, x, length);
      const want = softmaxReference(x, length);
      // WGSL allows exp(v) an error of 3 + 2|v| units in the last place, |v| up to 12 here: 1.6e-6 of y.
      assertClose(y, want, storage.stored({ absolute: 1e-7, relative: 3e-6 }), "y");
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
    const x = storage.rounded(scores);
    const y = await runSoftmax(storage, x, 6);
    const want = softmaxReference(x, 6);
    assertClose(y, want, storage.stored({ absolute: 2e-6 }), "y");
  });
}
