import assert from "node:assert/strict";
import { jackknifeErrors } from "../../lib/evaluation/jackknife.ts";

Deno.test("the jackknife's error of a mean is the standard error of its groups' means", () => {
  const values = [3, 5, 1, 9, 2, 2, 8, 4, 7];
  const mean = (some: readonly number[]) => some.reduce((sum, value) => sum + value, 0) / some.length;
  const at = (indices: Uint32Array) => Array.from(indices, (i) => values[i]!);
  const seen: number[] = [];
  const errors = jackknifeErrors(9, 2, (indices) => {
    seen.push(indices.length);
    const whole = at(indices.filter((i) => i < 8));
    return [mean(whole), 2 * mean(whole)];
  })!;
  const means = [0, 2, 4, 6].map((first) => mean(values.slice(first, first + 2)));
  const squares = means.reduce((sum, value) => sum + (value - mean(means)) ** 2, 0);
  const expected = Math.sqrt(squares / 3 / 4);
  assert.ok(Math.abs(errors[0]! - expected) < 1e-12, `${errors[0]} is not ${expected}`);
  assert.ok(Math.abs(errors[1]! - 2 * expected) < 1e-12);
  assert.deepEqual(seen, [7, 7, 7, 7], "the image left over is in every estimate");
});

Deno.test("two groups say too little for an error", () => {
  assert.equal(jackknifeErrors(29, 10, () => [0]), undefined);
});
