/**
 * Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, equation 6).
 *
 * @module
 */

import { ConfigError, ShapeError } from "../errors.ts";

/**
 * `unconditional + scale (conditional - unconditional)`, which holds for any prediction type because the types are
 * linear in one another at a fixed `x_t`. Scale 1 is the plain conditional model and 0 the unconditional one; 1.5 to 4
 * trades variety for likeness to the class. The reference of the kernel that does this on the device.
 *
 * @param unconditional the network's output for the null class
 * @param conditional its output for the wanted class, of the same length
 * @param scale guidance scale, a finite number of at least 0
 * @param into receives the result, may be one of the operands; default a new array
 * @returns `into`
 * @throws {ConfigError} for a scale out of range
 * @throws {ShapeError} if the lengths differ
 */
export function guide(
  unconditional: Float32Array | Float64Array,
  conditional: Float32Array | Float64Array,
  scale: number,
  into: Float32Array | Float64Array = unconditional.slice(),
): Float32Array | Float64Array {
  checkGuidance(scale);
  if (conditional.length !== unconditional.length || into.length !== unconditional.length) {
    throw new ShapeError(
      `guide: lengths differ: unconditional ${unconditional.length}, conditional ${conditional.length}, into ${into.length}`,
    );
  }
  for (let i = 0; i < into.length; i++) {
    into[i] = unconditional[i] + scale * (conditional[i] - unconditional[i]);
  }
  return into;
}

/**
 * Checks a guidance scale.
 *
 * @throws {ConfigError} unless it is a finite number of at least 0
 */
export function checkGuidance(scale: number): void {
  if (!Number.isFinite(scale) || scale < 0) {
    throw new ConfigError("guidance", scale, "a number of at least 0");
  }
}
