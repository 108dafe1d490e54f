import assert from "node:assert/strict";
import { normalCdf, normalQuantile } from "../../lib/diffusion/normal.ts";

const near = (actual: number, expected: number, tolerance: number) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual}, expected ${expected}`);

/** Shares below `x`, from tables of the normal distribution. */
const SHARES: readonly (readonly [x: number, share: number])[] = [
  [0, 0.5],
  [0.5, 0.691462461274013],
  [1, 0.841344746068543],
  [2, 0.977249868051821],
  [3, 0.998650101968370],
  [4, 0.999968328758167],
];

Deno.test("the normal distribution has its tabulated shares, on either side", () => {
  for (const [x, share] of SHARES) {
    near(normalCdf(x), share, 1e-14);
    near(normalCdf(-x), 1 - share, 1e-14);
  }
  assert.deepEqual([normalCdf(-9), normalCdf(9)], [0, 1]);
});

Deno.test("normal quantiles are inverse to shares, and rise", () => {
  for (const [x, share] of SHARES) near(normalQuantile(share), x, 1e-10);
  let before = -Infinity;
  for (const p of [1e-6, 0.01, 0.2, 0.5, 0.9, 0.999, 1 - 1e-6]) {
    const x = normalQuantile(p);
    assert.ok(x > before);
    near(normalCdf(x), p, 1e-14);
    before = x;
  }
});
