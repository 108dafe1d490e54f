import assert from "node:assert/strict";
import { checkGuidance } from "../../lib/diffusion/guidance.ts";
import { ConfigError } from "../../lib/errors.ts";
import { guidanceReference } from "../reference/sampler_step.ts";

Deno.test("guidance 0, 1 and 3 are the unconditional model, the conditional one and beyond it", () => {
  const [conditional, unconditional] = [[2, -2.5], [1, -2]];
  assert.deepEqual(guidanceReference(conditional, unconditional, 0), unconditional);
  assert.deepEqual(guidanceReference(conditional, unconditional, 1), conditional);
  assert.deepEqual(guidanceReference(conditional, unconditional, 3), [4, -3.5]);
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
