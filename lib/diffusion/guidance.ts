/**
 * Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, equation 6):
 *
 * ```text
 * out = unconditional + scale (conditional - unconditional)
 * ```
 *
 * The paper writes it with `scale = 1 + w`. It holds for every prediction type, since the types are linear in one another at
 * a fixed `x_t`. Scale 1 is the conditional model, 0 the unconditional one; 1.5 to 4 trades variety for fidelity to the
 * class. It runs on the device, in `kernels/sampler_step.wgsl`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";

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
