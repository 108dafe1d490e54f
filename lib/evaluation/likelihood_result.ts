/**
 * Result of an evaluation of the likelihood, and the sums that it comes from.
 *
 * @module
 */
import type { DenoisingError } from "../../kernels/records/evaluation.ts";
import { estimates, type ForwardProcess, type NoiseLevel } from "../diffusion/forward_process.ts";
import { byteNats } from "./discretized_gaussian.ts";
import type { Draw, LikelihoodPlan } from "./likelihood_plan.ts";
import { divergenceTerm, priorTerm, toBits } from "./variational_bound.ts";

/** Timesteps in each bucket of the denoising loss: this many parts of all. */
const BUCKETS = 20;

/** Sums over the images so far, from which an evaluation continues. Bits are per dimension. */
export interface LikelihoodSums {
  /** Bound of each image. */
  readonly bits: number[];
  /** Sum of the terms of the noisiest level. */
  prior: number;
  /** Sum of the terms of the decoder. */
  decoder: number;
  /** Sum of the terms of each stratum. */
  readonly strata: number[];
  /** Squared errors by bucket of timesteps, each of them counted for its stratum. */
  readonly buckets: ErrorSums[];
}

/** Weighted sums of mean squared errors. */
export interface ErrorSums {
  /** Sum of the weights. */
  weight: number;
  /** Errors of the network's output against its target. */
  target: number;
  /** Errors of the estimate of the noise. */
  noise: number;
  /** Errors of the estimate of the image. */
  x0: number;
}

/** Share of the bound of some consecutive timesteps. */
export interface StratumBits {
  /** First and last time input of the network. */
  readonly timesteps: readonly [first: number, last: number];
  /** Bits per dimension of all of them. */
  readonly bits: number;
  /** Number of timesteps. */
  readonly count: number;
}

/** Mean squared errors of the network at some consecutive timesteps, over pixels in [-1, 1]. */
export interface DenoisingLoss {
  /** First and last time input of the network. */
  readonly timesteps: readonly [first: number, last: number];
  /** Of the network's output against its target. */
  readonly target: number;
  /** Of the estimate of the noise. */
  readonly noise: number;
  /** Of the estimate of `x_0`, clipped as in sampling. */
  readonly x0: number;
}

/** Result of an evaluation. */
export interface Likelihood {
  /** Images evaluated. */
  readonly images: number;
  /** Variational bound on the negative log-likelihood, in bits per dimension (per byte of an image). */
  readonly bitsPerDimension: number;
  /** Standard error of that, over images, timesteps and noise; null for a single image. */
  readonly standardError: number | null;
  /** `L_T`, the divergence of the noisiest images from the standard normal distribution, in bits per dimension. */
  readonly prior: number;
  /** `L_0`, the decoder's term, in bits per dimension. */
  readonly decoder: number;
  /** The other terms, least noise first. */
  readonly terms: readonly StratumBits[];
  /** Denoising loss, least noise first; only buckets in which there was a timestep. */
  readonly losses: readonly DenoisingLoss[];
}

/** Errors of an image. */
export interface ImageResult {
  readonly bytes: Uint8Array;
  /** Estimate of `x_0` at the first level, [H, W, C]. */
  readonly estimate: Float32Array;
  /** Logarithm of a learned variance over the decoder's there, [H, W, C]; undefined where it is not learned. */
  readonly logRatio?: Float32Array | undefined;
  /** The first level, then a level of each stratum. */
  readonly draws: readonly Draw[];
  /** Error of each draw. */
  readonly errors: readonly DenoisingError[];
}

/** Sums before the first image. */
export function emptyLikelihoodSums({ strata }: LikelihoodPlan): LikelihoodSums {
  return {
    bits: [],
    prior: 0,
    decoder: 0,
    strata: strata.map(() => 0),
    buckets: Array.from({ length: BUCKETS }, () => ({ weight: 0, target: 0, noise: 0, x0: 0 })),
  };
}

/** Adds an image to the sums. */
export function addImage(plan: LikelihoodPlan, sums: LikelihoodSums, result: ImageResult): void {
  const { levels, variance, process } = plan;
  const { bytes, estimate, logRatio, draws, errors } = result;
  let meanSquare = 0;
  for (const byte of bytes) meanSquare += (2 * byte / 255 - 1) ** 2 / bytes.length;
  const prior = toBits(priorTerm(levels.at(-1)!, meanSquare));
  const decoder = toBits(decoderNats(bytes, estimate, Math.sqrt(plan.decoderVariance), logRatio));
  let bits = prior + decoder;
  for (const [k, { index, count }] of draws.entries()) {
    const { targetError, x0Error, boundError, varianceTerm } = errors[k]!; // one for each draw
    const level = levels[index]!;
    if (k > 0) {
      const { errorWeight, constant } = divergenceTerm(levels[index - 1]!, level, variance);
      const term = count * toBits(errorWeight * boundError + constant + varianceTerm);
      sums.strata[k - 1]! += term;
      bits += term;
    }
    const bucket = sums.buckets[Math.floor(index * BUCKETS / levels.length)]!;
    bucket.weight += count;
    bucket.target += count * targetError;
    bucket.noise += count * noiseError(process, level, targetError);
    bucket.x0 += count * x0Error;
  }
  sums.prior += prior;
  sums.decoder += decoder;
  sums.bits.push(bits);
}

/** Mean over an image's bytes of their negative log-likelihood. */
function decoderNats(
  bytes: Uint8Array,
  estimate: Float32Array,
  deviation: number,
  logRatio: Float32Array | undefined,
): number {
  let nats = 0;
  for (let i = 0; i < bytes.length; i++) {
    nats += byteNats(bytes[i]!, estimate[i]!, deviation * Math.exp((logRatio?.[i] ?? 0) / 2));
  }
  return nats / bytes.length;
}

/** Squared error of the estimate of the noise, from that of the network's output: at a given x one is linear in the other. */
function noiseError(process: ForwardProcess, level: NoiseLevel, targetError: number): number {
  return estimates(process, level).epsFromOut ** 2 * targetError;
}

/**
 * Result of the images evaluated so far.
 *
 * @param sums with one image or more
 */
export function likelihoodOf(plan: LikelihoodPlan, sums: LikelihoodSums): Likelihood {
  const { levels, strata } = plan;
  const images = sums.bits.length;
  const mean = sums.bits.reduce((sum, bits) => sum + bits, 0) / images;
  const squares = sums.bits.reduce((sum, bits) => sum + (bits - mean) ** 2, 0);
  const range = (first: number, count: number): [number, number] => [
    levels[first]!.timestep,
    levels[first + count - 1]!.timestep,
  ];
  return {
    images,
    bitsPerDimension: mean,
    standardError: images > 1 ? Math.sqrt(squares / (images - 1) / images) : null,
    prior: sums.prior / images,
    decoder: sums.decoder / images,
    terms: strata.map(({ first, count }, k) => ({
      timesteps: range(first, count),
      bits: sums.strata[k]! / images,
      count,
    })),
    losses: sums.buckets.flatMap(({ weight, target, noise, x0 }, b) => {
      if (weight === 0) return [];
      const first = Math.ceil(b * levels.length / BUCKETS);
      const end = Math.ceil((b + 1) * levels.length / BUCKETS);
      return [{
        timesteps: range(first, end - first),
        target: target / weight,
        noise: noise / weight,
        x0: x0 / weight,
      }];
    }),
  };
}
