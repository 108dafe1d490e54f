import assert from "node:assert/strict";
import { memorySlope } from "../../bench/serve_memory.ts";

const samples = (values: number[]) => values.map((mebibytes, i) => ({ requests: 50 * i, mebibytes }));

Deno.test("the slope is that of the second half, in MiB per 1,000 requests", () => {
  const flat = [100, 150, 200, 220, 230, 230, 230, 230, 230];
  assert.equal(memorySlope(samples(flat)), 0);
  const growing = [100, 300, 300, 300, 300, 301, 302, 303, 304];
  assert.ok(Math.abs(memorySlope(samples(growing))! - 20) < 1e-9);
  const noisy = [0, 0, 0, 0, 230, 232, 230, 232, 230];
  assert.ok(Math.abs(memorySlope(samples(noisy))!) < 1e-9);
});

Deno.test("too few samples have no slope", () => {
  for (const values of [[], [1], [1, 2], [1, 2, 3]]) assert.equal(memorySlope(samples(values)), undefined);
});
