/**
 * Cells of a table of samplers: sampler, spacing and steps.
 *
 * @module
 */
import type { CellPlan } from "../bench/quality.ts";
import type { DDPM } from "../mod.ts";
import { evaluations, mostSteps, type SamplerChoice, type SamplerName } from "../lib/diffusion/sampler.ts";
import { chooseSampler } from "../lib/sampling/request.ts";

/**
 * Plan of a cell with at most a number of network evaluations.
 *
 * @throws {ConfigError} for a spacing that the process lacks
 */
export function planCell(choice: SamplerChoice, limit: number, model: DDPM): CellPlan {
  const chosen = chooseSampler(choice, { schedule: model.schedule });
  const steps = mostSteps(model.schedule, limit, chosen);
  return { ...chosen, steps, evaluations: evaluations(chosen.sampler, steps) };
}

/** True if both are the same sampler at the same steps. */
export function samePlan(a: CellPlan, b: CellPlan): boolean {
  return a.sampler === b.sampler && a.spacing === b.spacing && a.steps === b.steps;
}

/** Name of a cell, for directories and progress: `dpm++2m-karras-10`. */
export function nameOfPlan({ sampler, spacing, steps }: CellPlan): string {
  return `${sampler}-${spacing}-${steps}`;
}

const STOCHASTIC: readonly SamplerName[] = ["ddpm", "euler-ancestral", "dpm++2m-sde"];

/** True if a sampler solves the probability-flow equation, so that at many steps its images are those of any other such. */
export function isDeterministic({ sampler }: Pick<CellPlan, "sampler">): boolean {
  return !STOCHASTIC.includes(sampler);
}

/** Root mean square difference of the first images of two sets, with values from -1 to 1. */
export function pixelError(images: Uint8Array, solution: Uint8Array): number {
  let sum = 0;
  solution.forEach((value, i) => sum += ((images[i]! - value) / 127.5) ** 2);
  return Math.sqrt(sum / solution.length);
}
