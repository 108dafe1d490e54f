import assert from "node:assert/strict";
import { concatForward, sliceChannels } from "../../kernels/concat.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { concatReference, sliceReference } from "../reference/concat.ts";
import { differences, noise } from "../reference/differences.ts";
import { type Storage, STORAGES } from "../support/storage.ts";

const padded = (storage: Storage, rows: number, channels: number) =>
  storage.empty(rows * 4 * Math.ceil(channels / 4));

Deno.test("concat reference gradients match central differences", () => {
  const [a, b, dy] = [noise(3 * 2, 1), noise(3 * 3, 2), noise(3 * 5, 3)];
  const f = () => concatReference(a, 2, b, 3);
  // The function is linear, so differences are exact up to float64.
  assertClose(sliceReference(dy, 5, 0, 2), differences(f, a, dy), { absolute: 1e-10 }, "da");
  assertClose(sliceReference(dy, 5, 2, 3), differences(f, b, dy), { absolute: 1e-10 }, "db");
});

const SHAPES = [
  ...[[1, 4, 4], [1, 1, 1], [35, 3, 6], [35, 8, 3], [35, 6, 6], [20, 5, 16], [300, 32, 64], [1500, 12, 8]],
];
for (const storage of STORAGES) {
  const pack = (values: Float64Array, channels: number) => storage.array(packChannels(values, channels));

  for (const [rows, a, b] of SHAPES) {
    const name = `a=[${rows},${a}] b=[${rows},${b}]${storage.suffix}`;
    Deno.test(`concat forward and backward are exact: ${name}`, async () => {
      const [hostA, hostB, dy] = [a, b, a + b].map((channels, i) =>
        storage.rounded(noise(rows * channels, i + 1))
      );
      const y = padded(storage, rows, a + b);
      const host = pack(dy, a + b);
      const [da, db] = [padded(storage, rows, a), padded(storage, rows, b)];
      await storage.run([
        ...concatForward<HostArray>({ rows, a, b }, { a: pack(hostA, a), b: pack(hostB, b), y }),
        ...sliceChannels<HostArray>({ rows, channels: a + b, first: 0, count: a }, { dy: host, dx: da }),
        ...sliceChannels<HostArray>({ rows, channels: a + b, first: a, count: b }, { dy: host, dx: db }),
      ]);
      // Unpacking checks that padding lanes are zero.
      assert.deepEqual([...unpackChannels(y, a + b)], [...concatReference(hostA, a, hostB, b)]);
      assert.deepEqual([...unpackChannels(da, a)], [...sliceReference(dy, a + b, 0, a)]);
      assert.deepEqual([...unpackChannels(db, b)], [...sliceReference(dy, a + b, a, b)]);
    });
  }

  for (const [channels, first, count] of [[12, 4, 6], [13, 3, 7]]) {
    const name = `channels ${first} to ${first + count - 1} of ${channels}`;
    Deno.test(`slice of ${name} adds to the gradient so far${storage.suffix}`, async () => {
      const rows = 21;
      const dy = storage.rounded(noise(rows * channels, 4));
      const addend = storage.rounded(noise(rows * count, 5));
      const dx = padded(storage, rows, count);
      await storage.run(
        sliceChannels<HostArray>({ rows, channels, first, count }, {
          dy: pack(dy, channels),
          addend: pack(addend, count),
          dx,
        }),
      );
      const want = sliceReference(dy, channels, first, count).map((v, i) => Math.fround(v + addend[i]));
      assert.deepEqual([...unpackChannels(dx, count)], [...storage.rounded(want)]);
    });
  }
}
