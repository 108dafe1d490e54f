import assert from "node:assert/strict";
import { previewSteps } from "../../../server/http/moments.ts";

Deno.test("there are eight previews where there are as many steps, never the finished image", () => {
  for (let steps = 1; steps <= 1000; steps++) {
    const { at } = previewSteps(steps);
    assert.ok(at.every((step) => step < steps - 1), String(steps));
    assert.equal(at.length, Math.min(8, steps - 1), `${steps} steps`);
  }
  assert.deepEqual(previewSteps(1).at, []);
  assert.deepEqual(previewSteps(10, { every: 4 }).at, [3, 7]);
  assert.deepEqual(previewSteps(8, { every: 4 }).at, [3]);
});
