/**
 * Guidance: which evaluations of the network make an image's output, and with which weights.
 *
 * ```text
 * conditional = sum_i w_i F(x, class_i), with sum_i w_i = 1       one class, or a mixture: Liu et al. 2022, section 4
 * out         = negative + scale (conditional - negative)
 *             = scale conditional + (1 - scale) negative          Ho and Salimans 2022, equation 6
 * ```
 *
 * Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598) has the output without a class as `negative`; the paper
 * writes it with `scale = 1 + w`. With another class in its place, images are led away from that class. Mixtures compose the
 * scores of several classes (Liu et al. 2022, arXiv 2206.01714, section 4). All of it holds for every prediction type, since the types are linear in one another at a fixed `x_t`. Scale 1
 * is the conditional model, 0 the negative one; 1.5 to 4 trades variety for fidelity to the class. The sum runs on the
 * device, in `kernels/guidance.wgsl`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";

/** A class in a mixture. */
export interface WeightedLabel {
  /** Class index; the number of classes is the null class. */
  readonly label: number;
  /** Weight relative to the others of the mixture, above 0. */
  readonly weight: number;
}

/** Classes whose scores are added up, one or more. */
export type ClassMixture = readonly WeightedLabel[];

/** Settings of guidance. */
export interface Guidance {
  /** Scale, 0 or more; 1 is no guidance. */
  readonly guidance: number;
  /** Label that images are led away from, at scales above 1; default the null class. */
  readonly negative?: number;
}

/** The settings of guidance among others. */
export function guidanceOf({ guidance, negative }: Guidance): Guidance {
  return { guidance, ...(negative === undefined ? {} : { negative }) };
}

/** What the network is evaluated for: an image's class or mixture, and its guidance. */
export interface Guided extends Guidance {
  /** Class index, or a mixture; the number of classes is the null class. */
  readonly label: number | ClassMixture;
}

/** Evaluation of the network with one label, and its weight in the guided output. */
export interface GuidanceTerm {
  /** Class index; the number of classes is the null class. */
  readonly label: number;
  /** Weight of its output; those of an image sum to 1. */
  readonly weight: number;
}

/** Labels of a class or mixture with weights that sum to 1. */
function normalized(label: number | ClassMixture): ClassMixture {
  if (typeof label === "number") return [{ label, weight: 1 }];
  const sum = label.reduce((sum, { weight }) => sum + weight, 0);
  return label.map(({ label, weight }) => ({ label, weight: weight / sum }));
}

/**
 * Evaluations of the network that make a guided output. Each label is evaluated once; those of weight 0 are left out.
 *
 * @param image class and guidance
 * @param nullLabel label of the null class
 */
export function guidanceTerms({ label, guidance, negative }: Guided, nullLabel: number): GuidanceTerm[] {
  const weights = new Map<number, number>();
  const add = (label: number, weight: number) => weights.set(label, (weights.get(label) ?? 0) + weight);
  for (const { label: one, weight } of normalized(label)) add(one, guidance * weight);
  add(negative ?? nullLabel, 1 - guidance);
  return [...weights].filter(([, weight]) => weight !== 0).map(([label, weight]) => ({ label, weight }));
}

/** Rows of the network's batch that an image takes. */
export function networkRows(image: Guided): number {
  return guidanceTerms(image, NO_LABEL).length;
}

/** Stands for the null class where its label is not known. */
const NO_LABEL = -1;

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
