/** Comparison with a reference. Failures report index, both values and the largest error; non-finite values always fail. */
import { AssertionError } from "node:assert";

export interface Tolerance {
  /** Allowed |actual - expected| beyond the relative part. */
  absolute: number;
  /** Allowed error as a share of the largest |expected| of the whole tensor. */
  relative?: number;
}

/**
 * @param actual result of the code under test
 * @param expected the reference
 * @param what name for the message, e.g. `dw`
 */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { absolute, relative = 0 }: Tolerance,
  what = "value",
): void {
  if (actual.length !== expected.length) {
    throw new AssertionError({ message: `${what}: ${actual.length} elements, expected ${expected.length}` });
  }
  let scale = 0;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]));
  const bound = absolute + relative * scale;
  let worst = -1;
  let error = 0;
  for (let i = 0; i < expected.length; i++) {
    if (!Number.isFinite(actual[i]) || !Number.isFinite(expected[i])) {
      throw new AssertionError({ message: `${what}[${i}]: got ${actual[i]}, expected ${expected[i]}` });
    }
    const difference = Math.abs(actual[i] - expected[i]);
    if (difference > error) {
      error = difference;
      worst = i;
    }
  }
  if (error > bound) {
    throw new AssertionError({
      message: `${what}[${worst}]: got ${actual[worst]}, expected ${expected[worst]}; ` +
        `largest error ${error.toExponential(2)}, allowed ${bound.toExponential(2)}`,
    });
  }
}
