import assert from "node:assert/strict";
import { concatForward, sliceChannels } from "../../kernels/concat.ts";
import { assertClose } from "../close.ts";
import { type HostArray, runOnArrays, testGpu } from "../gpu.ts";
import { packChannels, unpackChannels } from "../layout.ts";
import { concatReference, sliceReference } from "../reference/concat.ts";
import { differences, noise } from "../reference/differences.ts";

const padded = (rows: number, channels: number) =>
  new Float32Array(rows * 4 * Math.ceil(channels / 4)).fill(NaN);

Deno.test("concat reference gradients match central differences", () => {
  const [a, b, dy] = [noise(3 * 2, 1), noise(3 * 3, 2), noise(3 * 5, 3)];
  const f = () => concatReference(a, 2, b, 3);
  // The function is linear, so differences are exact up to float64.
  assertClose(sliceReference(dy, 5, 0, 2), differences(f, a, dy), { absolute: 1e-10 }, "da");
  assertClose(sliceReference(dy, 5, 2, 3), differences(f, b, dy), { absolute: 1e-10 }, "db");
});

const SHAPES = [[1, 4, 4], [1, 1, 1], [35, 3, 6], [35, 8, 3], [35, 6, 6], [20, 5, 16], [300, 32, 64], [
  1500,
  12,
  8,
]];
for (const [rows, a, b] of SHAPES) {
  Deno.test(`concat forward and backward are exact: a=[${rows},${a}] b=[${rows},${b}]`, async () => {
    const [hostA, hostB] = [noise(rows * a, 1), noise(rows * b, 2)];
    const y = padded(rows, a + b);
    const dy = noise(rows * (a + b), 3);
    const host = packChannels(dy, a + b);
    const [da, db] = [padded(rows, a), padded(rows, b)];
    await runOnArrays(await testGpu(), [
      ...concatForward<HostArray>({ rows, a, b }, {
        a: packChannels(hostA, a),
        b: packChannels(hostB, b),
        y,
      }),
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
  Deno.test(`slice of channels ${first} to ${first + count - 1} of ${channels} adds to the gradient so far`, async () => {
    const rows = 21;
    const dy = noise(rows * channels, 4);
    const addend = noise(rows * count, 5);
    const dx = padded(rows, count);
    await runOnArrays(
      await testGpu(),
      sliceChannels<HostArray>({ rows, channels, first, count }, {
        dy: packChannels(dy, channels),
        addend: packChannels(addend, count),
        dx,
      }),
    );
    const want = sliceReference(dy, channels, first, count).map((v, i) => Math.fround(v + addend[i]));
    assert.deepEqual([...unpackChannels(dx, count)], [...want]);
  });
}
