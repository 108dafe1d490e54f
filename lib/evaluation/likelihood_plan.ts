/**
 * Images and timesteps of an evaluation of the likelihood.
 *
 * @module
 */
import { checkWhole } from "../checks.ts";
import type { ImageDataset } from "../data/dataset.ts";
import { takeSubset } from "../data/splitting.ts";
import type { ForwardProcess } from "../diffusion/forward_process.ts";
import { configuredVariance } from "../diffusion/samplers/ddpm.ts";
import type { VarianceType } from "../diffusion/schedule.ts";
import { splitSeed, threefry4x32, uniformInteger } from "../random.ts";
import { strataOf, type Stratum } from "./strata.ts";
import { type BoundSteps, boundSteps, logRatios } from "./variational_bound.ts";

/** Options of {@linkcode planLikelihood}. */
export interface LikelihoodOptions {
  /** Images to evaluate, 1 or more, the classes in proportion; default all. */
  readonly images?: number;
  /** Indices of the images to choose from; default all. */
  readonly among?: Uint32Array;
  /** Network passes for each image besides the decoder's, 1 or more; default one for each timestep. */
  readonly terms?: number;
  /** Seed of timesteps and noise; default 0. */
  readonly seed?: number;
}

/** Last counter word of the draws of timesteps; no other use of a seed has it. */
const TIMESTEP_STREAM = 0x6c696b65;

/** Images and timesteps of an evaluation. */
export interface LikelihoodPlan extends BoundSteps {
  /** Forward process of the training. */
  readonly process: ForwardProcess;
  /** Variance of the reverse process. */
  readonly variance: VarianceType;
  /** Range of the logarithm of the variance at each level where it is learned, else zeros. */
  readonly logRatios: readonly number[];
  /** Parts of the levels, of each of which one is drawn for an image. */
  readonly strata: readonly Stratum[];
  /** Seed of noise and levels. */
  readonly seed: number;
  /** The images. */
  readonly data: ImageDataset;
  /** Indices into the data, ascending. */
  readonly indices: Uint32Array;
}

/** A network pass of one image. */
export interface Draw {
  /** Number of the level. */
  readonly index: number;
  /** Levels that it stands for. */
  readonly count: number;
}

/**
 * Chooses images and timesteps.
 *
 * @throws {ConfigError} for an option out of its range
 */
export function planLikelihood(
  process: ForwardProcess,
  data: ImageDataset,
  options: LikelihoodOptions = {},
): LikelihoodPlan {
  const { among = Uint32Array.from({ length: data.count }, (_, i) => i), seed = 0 } = options;
  const { images = among.length } = options;
  checkWhole("images", images, 1, among.length);
  checkWhole("seed", seed, 0, Number.MAX_SAFE_INTEGER);
  const steps = boundSteps(process);
  const { terms = steps.levels.length - 1 } = options;
  const variance = configuredVariance(process);
  return {
    ...steps,
    process,
    variance,
    logRatios: variance === "learned_range" ? logRatios(steps) : steps.levels.map(() => 0),
    strata: strataOf(steps.levels, terms),
    seed,
    data,
    indices: takeSubset(among, images, seed, data.labels),
  };
}

/** Levels at which an image is denoised: the first, then one of each stratum, at random. */
export function drawLevels({ strata, seed }: LikelihoodPlan, image: number): Draw[] {
  const key = splitSeed(seed);
  const drawn = strata.map(({ first, count }, k) => {
    const [word] = threefry4x32([image, k, 0, TIMESTEP_STREAM], key);
    return { index: first + uniformInteger(word, count), count };
  });
  return [{ index: 0, count: 1 }, ...drawn];
}
