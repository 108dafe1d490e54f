import assert from "node:assert/strict";
import { checkGuidance, guidanceTerms as terms } from "../../lib/diffusion/guidance.ts";
import { ConfigError } from "../../lib/errors.ts";
import { weightedSum } from "../reference/sampler_step.ts";

const NULL = 10;

Deno.test("guidance 0, 1 and 3 are the unconditional model, the conditional one and beyond it", () => {
  const outputs = new Map([[2, [2, -2.5]], [NULL, [1, -2]]]);
  const guided = (scale: number) =>
    weightedSum(
      terms({ label: 2, guidance: scale }, NULL).map(({ label, weight }) => ({
        weight,
        output: outputs.get(label)!,
      })),
    );
  assert.deepEqual(guided(0), [1, -2]);
  assert.deepEqual(guided(1), [2, -2.5]);
  assert.deepEqual(guided(3), [4, -3.5]); // u + 3 (c - u)
});

Deno.test("evaluations of weight 0 are left out", () => {
  assert.deepEqual(terms({ label: 2, guidance: 1 }, NULL), [{ label: 2, weight: 1 }]);
  assert.deepEqual(terms({ label: 2, guidance: 0 }, NULL), [{ label: NULL, weight: 1 }]);
  const both = [{ label: 2, weight: 3 }, { label: NULL, weight: -2 }];
  assert.deepEqual(terms({ label: 2, guidance: 3 }, NULL), both);
});

Deno.test("a mixture's weights are relative, the negative class takes the place of the null class", () => {
  const label = [{ label: 4, weight: 6 }, { label: 5, weight: 2 }];
  assert.deepEqual(terms({ label, guidance: 1 }, NULL), [{ label: 4, weight: 0.75 }, {
    label: 5,
    weight: 0.25,
  }]);
  assert.deepEqual(terms({ label, guidance: 2, negative: 7 }, NULL), [
    { label: 4, weight: 1.5 },
    { label: 5, weight: 0.5 },
    { label: 7, weight: -1 },
  ]);
});

Deno.test("a label is evaluated once, with the sum of its weights", () => {
  const label = [{ label: 4, weight: 3 }, { label: 5, weight: 1 }, { label: 4, weight: 4 }];
  const some = [{ label: 4, weight: 1.75 }, { label: 5, weight: -0.75 }];
  assert.deepEqual(terms({ label, guidance: 2, negative: 5 }, NULL), some);
  assert.deepEqual(terms({ label: 4, guidance: 3, negative: 4 }, NULL), [{ label: 4, weight: 1 }]);
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
