/** Equality of arrays of floats. */
import assert from "node:assert/strict";

/** Asserts that arrays are the same, signs of zero included; reports the first difference, since a diff of arrays takes minutes. */
export function assertSame(got: Float32Array, want: Float32Array, what: string): void {
  assert.equal(got.length, want.length, what);
  const at = want.findIndex((value, i) => !Object.is(value, got[i]));
  assert.ok(at < 0, `${what}[${at}]: ${got[at]}, expected ${want[at]}`);
}
