/**
 * Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, equation 6):
 *
 * ```text
 * out = unconditional + scale (conditional - unconditional) = scale conditional + (1 - scale) unconditional
 * ```
 *
 * The paper writes it with `scale = 1 + w`. It holds for every prediction type, since the types are linear in one another at
 * a fixed `x_t`. Scale 1 is the conditional model, 0 the unconditional one; 1.5 to 4 trades variety for fidelity to the
 * class. The sum runs on the device, in `kernels/guidance.wgsl`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";

/** Evaluation of the network with one label, and its weight in the guided output. */
export interface GuidanceTerm {
  /** Class index; the number of classes is the null class. */
  readonly label: number;
  /** Weight of its output; those of an image sum to 1. */
  readonly weight: number;
}

/**
 * Evaluations of the network that make a guided output, one or two; those of weight 0 are left out.
 *
 * @param label class of the image
 * @param scale scale of guidance
 * @param nullLabel label of the null class
 */
export function guidanceTerms(label: number, scale: number, nullLabel: number): GuidanceTerm[] {
  const terms = [{ label, weight: scale }, { label: nullLabel, weight: 1 - scale }];
  return terms.filter(({ weight }) => weight !== 0);
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
