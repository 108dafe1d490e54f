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
 * Autoguidance (Karras et al. 2024, arXiv 2406.02507) has the output of a second, weaker network for the same class as
 * `negative`, so that images are led away from the faults that both share, and not to fewer varieties.
 *
 * Two corrections keep the images of high scales natural. Rescaling (Lin et al. 2024, arXiv 2305.08891, equations 15 and 16;
 * `kernels/guidance_rescale.wgsl`) undoes the gain in contrast. An interval (Kynkäänniemi et al. 2024, arXiv 2404.07724)
 * limits guidance to the noise levels where it helps, in the unit of that paper, the ratio of noise to signal `sigma`, so that
 * it means the same whatever the number of steps, the sampler and the schedule; steps outside take fewer evaluations.
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

/** Interval of noise levels, above the first ratio of noise to signal and up to the second, which may be infinite. */
export type SigmaInterval = readonly [above: number, upTo: number];

/** Largest scale: far more than pictures survive, and far less than the range of float32. */
export const MAX_GUIDANCE = 100;

/** Settings of guidance. */
export interface Guidance {
  /** Scale, 0 to {@linkcode MAX_GUIDANCE}; 1 is no guidance. */
  readonly guidance: number;
  /** Label that images are led away from, at scales above 1; default the null class. */
  readonly negative?: number;
  /** Part of the guided output that gets the standard deviation of the conditional one, 0 (default) to 1. */
  readonly guidanceRescale?: number;
  /** Noise levels at which there is guidance; default all. */
  readonly guidanceInterval?: SigmaInterval;
}

/** The settings of guidance among others. */
export function guidanceOf(settings: Guidance): Guidance {
  const { guidance, negative, guidanceRescale, guidanceInterval } = settings;
  const chosen = Object.entries({ negative, guidanceRescale, guidanceInterval });
  return { guidance, ...Object.fromEntries(chosen.filter(([, value]) => value !== undefined)) };
}

/** What the network is evaluated for: an image's class or mixture, and its guidance. */
export interface Guided extends Guidance {
  /** Class index, or a mixture; the number of classes is the null class. */
  readonly label: number | ClassMixture;
}

/** Evaluation of the network with one label. */
export interface GuidanceTerm {
  /** Class index; the number of classes is the null class. */
  readonly label: number;
  /** Weight of its output in the guided output; those of an image sum to 1. */
  readonly weight: number;
  /** Weight of its output in the conditional output; those of an image sum to 1. */
  readonly conditional: number;
}

/** Guidance in one step. */
export interface GuidanceStep {
  /** Evaluations of the network. */
  readonly terms: readonly GuidanceTerm[];
  /** Evaluations of the guiding network, if there is one. */
  readonly guideTerms: readonly GuidanceTerm[];
  /** Part of the output that is rescaled, 0 for none. */
  readonly rescale: number;
}

/** Labels of a class or mixture with weights that sum to 1. */
function normalized(label: number | ClassMixture): ClassMixture {
  if (typeof label === "number") return [{ label, weight: 1 }];
  const largest = label.reduce((most, { weight }) => Math.max(most, weight), 0);
  const relative = label.map(({ label, weight }) => ({ label, weight: weight / largest })); // large weights have no sum
  const sum = relative.reduce((sum, { weight }) => sum + weight, 0);
  return relative.map(({ label, weight }) => ({ label, weight: weight / sum }));
}

/**
 * Evaluations of the network that make the output of a step. Each label is evaluated once; those that are not needed are left
 * out.
 *
 * @param image class and guidance
 * @param sigma ratio of noise to signal at the step
 * @param nullLabel label of the null class
 * @param guide true if a second network guides
 */
export function guidanceStep(
  image: Guided,
  sigma: number,
  nullLabel: number,
  guide: boolean = false,
): GuidanceStep {
  const { guidanceInterval: [above, upTo] = [-1, Infinity] } = image;
  return stepAtScale(image, sigma > above && sigma <= upTo ? image.guidance : 1, nullLabel, guide);
}

function stepAtScale(image: Guided, scale: number, nullLabel: number, guide: boolean): GuidanceStep {
  const { label, negative, guidanceRescale = 0 } = image;
  const classes = normalized(label);
  const other = negative === undefined
    ? guide ? classes : [{ label: nullLabel, weight: 1 }]
    : [{ label: negative, weight: 1 }];
  const conditional = classes.map(({ label, weight }) => {
    return { label, weight: scale * weight, conditional: weight };
  });
  const away = other.map(({ label, weight }) => ({ label, weight: (1 - scale) * weight, conditional: 0 }));
  const [own, guiding] = [summed(guide ? conditional : [...conditional, ...away]), summed(guide ? away : [])];
  const rescale = own.some(({ weight, conditional }) => weight !== conditional) ? guidanceRescale : 0;
  return {
    rescale,
    // A slot without rows of the network itself would be idle.
    terms: own.filter(({ weight, conditional }) =>
      weight !== 0 || (conditional !== 0 && (guide || rescale !== 0))
    ),
    guideTerms: guiding.filter(({ weight }) => weight !== 0),
  };
}

/** Terms with each label once. */
function summed(terms: readonly GuidanceTerm[]): GuidanceTerm[] {
  const sums = new Map<number, GuidanceTerm>();
  for (const { label, weight, conditional } of terms) {
    const sum = sums.get(label) ?? { label, weight: 0, conditional: 0 };
    sums.set(label, { label, weight: sum.weight + weight, conditional: sum.conditional + conditional });
  }
  return [...sums.values()];
}

/** Rows of all networks' batches in a step. */
export function rowsOfStep({ terms, guideTerms }: GuidanceStep): number {
  return terms.length + guideTerms.length;
}

/**
 * Most rows of the network's batch that an image takes in a step, those of a guiding network not counted: it takes at most as
 * many of its own.
 *
 * @param guide true if a second network guides
 */
export function networkRows(image: Guided, guide: boolean = false): number {
  const scales = guide || image.guidanceInterval ? [image.guidance, 1] : [image.guidance];
  return Math.max(...scales.map((scale) => stepAtScale(image, scale, NO_LABEL, guide).terms.length));
}

/** Stands for the null class where its label is not known. */
const NO_LABEL = -1;

/**
 * Checks the numbers of guidance.
 *
 * @throws {ConfigError} naming the one that is out of range
 */
export function checkGuidance(
  { guidance, guidanceRescale = 0, guidanceInterval = [0, Infinity] }: Guidance,
): void {
  if (!(guidance >= 0 && guidance <= MAX_GUIDANCE)) {
    throw new ConfigError("guidance", guidance, `a number from 0 to ${MAX_GUIDANCE}`);
  }
  if (!(guidanceRescale >= 0 && guidanceRescale <= 1)) {
    throw new ConfigError("guidanceRescale", guidanceRescale, "a number from 0 to 1");
  }
  const [above, upTo] = guidanceInterval;
  if (guidanceInterval.length !== 2 || !(above >= 0 && above < upTo)) {
    throw new ConfigError(
      "guidanceInterval",
      guidanceInterval,
      "two ratios of noise to signal of at least 0, the smaller first",
    );
  }
}
