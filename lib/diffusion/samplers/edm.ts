/**
 * The stochastic sampler of EDM (Karras et al. 2022, arXiv 2206.00364, Algorithm 2).
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { CLEAN, type ForwardProcess, type NoiseLevel, sigmaOf } from "../forward_process.ts";
import { largestFiniteSigma } from "../spacing.ts";
import { eulerSpacing, towards } from "./euler.ts";
import { corrected, inSigma } from "./heun.ts";
import {
  evaluation,
  flowEvaluation,
  type PlannerOptions,
  type SamplerStep,
  type StepResult,
  visitedLevels,
} from "./step.ts";

/** Largest deviation of the noise that is added back; the paper's are 1 to 1.007. */
export const MOST_CHURN_NOISE = 100;

/** Largest relative increase of sigma in one step (Algorithm 2, line 4). */
const MOST_GAMMA = Math.SQRT2 - 1;

/**
 * Plans Algorithm 2: before each step of Heun's method, noise is added back to raise the level from `sigma` to
 * `sigma (1 + gamma)`, with `gamma = min(S_churn / N, sqrt(2) - 1)` where `sigma` is from `S_tmin` to `S_tmax` (Algorithm 2,
 * lines 4 to 6). Here it is part of the step before, which already ends at the higher level, or of the initial noise (line 2). Without
 * churn it is Algorithm 1. The slope at a step's end is that of the clipped `x_0`, as in `heun`; the one at its beginning is as
 * {@linkcode flowEvaluation} has it.
 *
 * The network is evaluated `2 steps - 1` times. A process that ends without signal is cut off at {@linkcode largestFiniteSigma}.
 *
 * @returns the evaluations, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function edmSteps(process: ForwardProcess, options: PlannerOptions): SamplerStep[] {
  const { clip } = options;
  const churn = churnOf(options);
  const levels = visitedLevels(process, options, eulerSpacing).map((level, i, visited) => {
    if (sigmaOf(level) < Infinity) return level;
    const next = visited[i + 1];
    return process.levelOfSigma(largestFiniteSigma(process, next && sigmaOf(next)));
  });
  const raised = levels.map((level) => raise(process, level, churn));
  return levels.flatMap((level, i) => {
    const { level: from } = raised[i]!; // one for each level
    const start = i === 0 ? Math.hypot(from.signal * sigmaOf(level), raised[0]!.added) : 0;
    const next = levels[i + 1];
    // Algorithm 2, lines 7 and 8
    const first = flowEvaluation(process, from, clip, start, towards(from, next ?? CLEAN));
    if (!next) return [first];
    // Algorithm 2, lines 10 and 11, then lines 5 and 6 of the next step
    const second = corrected(from, next, inSigma);
    return [first, evaluation(process, next, clip, 0, churned(second, raised[i + 1]!))];
  });
}

/** Settings of the noise that is added back. */
interface Churn {
  readonly gamma: number;
  readonly range: readonly [number, number];
  readonly deviation: number;
}

/** A level to which noise is added back. */
interface RaisedLevel {
  readonly level: NoiseLevel;
  /** Standard deviation of the noise, in units of `x` at the level. */
  readonly added: number;
}

function churnOf({ churn = 0, churnRange = [0, Infinity], churnNoise = 1, steps }: PlannerOptions): Churn {
  const [from, to] = Array.isArray(churnRange) && churnRange.length === 2 ? churnRange : [NaN, NaN];
  if (!(churn >= 0 && churn < Infinity)) throw new ConfigError("churn", churn, "a number of at least 0");
  if (!(from >= 0 && to >= from)) {
    throw new ConfigError("churnRange", churnRange, "two ascending numbers of at least 0");
  }
  if (!(churnNoise >= 0 && churnNoise <= MOST_CHURN_NOISE)) {
    throw new ConfigError("churnNoise", churnNoise, `a number from 0 to ${MOST_CHURN_NOISE}`);
  }
  return { gamma: Math.min(churn / steps, MOST_GAMMA), range: [from, to], deviation: churnNoise };
}

/** Algorithm 2, lines 4 to 6: the level with noise added back, and that noise. */
function raise(
  process: ForwardProcess,
  level: NoiseLevel,
  { gamma, range: [from, to], deviation }: Churn,
): RaisedLevel {
  const sigma = sigmaOf(level);
  if (gamma === 0 || sigma < from || sigma > to) return { level, added: 0 };
  const raised = process.levelOfSigma(sigma * (1 + gamma));
  return { level: raised, added: raised.signal * deviation * Math.sqrt(sigmaOf(raised) ** 2 - sigma ** 2) };
}

/** Adds noise back after a step. */
function churned(result: StepResult, { level, added }: RaisedLevel): StepResult {
  const scale = level.signal / result.next.signal;
  return {
    next: level,
    nextFromX0: scale * result.nextFromX0,
    nextFromX: scale * result.nextFromX,
    nextFromH1: scale * (result.nextFromH1 ?? 0),
    sigma: added,
  };
}
