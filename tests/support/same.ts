/** Equality of arrays of floats. */
import assert from "node:assert/strict";

/** Asserts that arrays are the same, signs of zero included; reports the first difference, since a diff of arrays takes minutes. */
export function assertSame(got: ArrayLike<number>, want: ArrayLike<number>, what: string): void {
  assert.equal(got.length, want.length, what);
  const at = Array.from(want).findIndex((value, i) => !Object.is(value, got[i]));
  assert.ok(at < 0, `${what}[${at}]: ${got[at]}, expected ${want[at]}`);
}
