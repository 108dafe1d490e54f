import assert from "node:assert/strict";
import { SumBlockLayout } from "../../kernels/records/layouts.ts";
import { encodeSampleSums, type SampleSum, sampleSums } from "../../kernels/sample_sums.ts";
import { noise } from "../reference/differences.ts";
import { assertClose } from "../support/close.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";

/** Runs one dispatch of sums; results that no sum writes are NaN. */
async function run(sums: readonly SampleSum[], values: Float64Array, results: number): Promise<Float32Array> {
  const blocks = new Uint32Array(encodeSampleSums(sums));
  const out = new Float32Array(results).fill(NaN);
  const count = 4 * blocks.length / SumBlockLayout.bytes;
  const operands = { blocks, values: Float32Array.from(values), sums: out };
  await runOnArrays(await testGpu(), sampleSums<HostArray>(count, operands));
  return out;
}

function reference({ first, stride, rows, columns }: SampleSum, values: Float64Array): Float64Array {
  const sum = new Float64Array(4 * columns);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < 4 * columns; c++) {
      sum[c] = sum[c]! + Math.fround(values[4 * (first + row * stride) + c]!);
    }
  }
  return sum;
}

// A lane adds every 16th row, four at a time; a workgroup has 16 columns.
for (const rows of [1, 2, 15, 16, 17, 48, 49, 64, 128, 131]) {
  for (const columns of [1, 15, 16, 17, 40]) {
    Deno.test(`sample_sums match reference: values=[${rows},${4 * columns}]`, async () => {
      const values = noise(4 * rows * columns, rows + columns);
      const sum = { first: 0, stride: columns, rows, columns, result: 0 };
      const got = await run([sum], values, 4 * columns);
      assertClose(got, reference(sum, values), { absolute: 1e-6 * Math.sqrt(rows) }, "sums");
    });
  }
}

Deno.test("sample_sums of several matrices go where they belong, and write nothing else", async () => {
  const values = noise(4 * 300, 5);
  const sums: SampleSum[] = [
    { first: 3, stride: 7, rows: 9, columns: 5, result: 20 },
    { first: 70, stride: 20, rows: 4, columns: 18, result: 1 },
    { first: 8, stride: 7, rows: 9, columns: 2, result: 30 },
  ];
  const got = await run(sums, values, 4 * 40);
  const want = new Float64Array(got.length).fill(NaN);
  for (const sum of sums) want.set(reference(sum, values), 4 * sum.result);
  for (const sum of sums) {
    const range = [4 * sum.result, 4 * (sum.result + sum.columns)] as const;
    assertClose(got.subarray(...range), want.subarray(...range), { absolute: 1e-6 }, `at ${sum.result}`);
  }
  assert.deepEqual(got.map(Number.isNaN as never), Float32Array.from(want, (v) => Number(Number.isNaN(v))));
});

Deno.test("sample_sums keep a non-finite value", async () => {
  const values = new Float64Array(4 * 20).fill(1);
  values[4 * 17 + 2] = Infinity;
  const got = await run([{ first: 0, stride: 1, rows: 20, columns: 1, result: 0 }], values, 4);
  assert.deepEqual([...got], [20, 20, Infinity, 20]);
});
