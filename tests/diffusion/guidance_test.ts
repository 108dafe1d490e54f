import assert from "node:assert/strict";
import { checkGuidance, guidanceTerms } from "../../lib/diffusion/guidance.ts";
import { ConfigError } from "../../lib/errors.ts";
import { weightedSum } from "../reference/sampler_step.ts";

const NULL = 10;

Deno.test("guidance 0, 1 and 3 are the unconditional model, the conditional one and beyond it", () => {
  const outputs = new Map([[2, [2, -2.5]], [NULL, [1, -2]]]);
  const guided = (scale: number) =>
    weightedSum(
      guidanceTerms(2, scale, NULL).map(({ label, weight }) => ({ weight, output: outputs.get(label)! })),
    );
  assert.deepEqual(guided(0), [1, -2]);
  assert.deepEqual(guided(1), [2, -2.5]);
  assert.deepEqual(guided(3), [4, -3.5]); // u + 3 (c - u)
});

Deno.test("evaluations of weight 0 are left out", () => {
  assert.deepEqual(guidanceTerms(2, 1, NULL), [{ label: 2, weight: 1 }]);
  assert.deepEqual(guidanceTerms(2, 0, NULL), [{ label: NULL, weight: 1 }]);
  assert.deepEqual(guidanceTerms(2, 3, NULL), [{ label: 2, weight: 3 }, { label: NULL, weight: -2 }]);
});

Deno.test("a guidance scale is a finite number of at least 0", () => {
  for (const scale of [0, 1, 2.5]) checkGuidance(scale);
  for (const scale of [-1, NaN, Infinity]) {
    assert.throws(
      () => checkGuidance(scale),
      (error) => error instanceof ConfigError && error.field === "guidance",
    );
  }
});
