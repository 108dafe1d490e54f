/**
 * Cells of a table of samplers: sampler, spacing, steps and guidance.
 *
 * @module
 */
import { type CellPlan, describeGuidance, type GuidedPlan } from "../../bench/quality.ts";
import type { DDPM, GenerateOptions } from "../../mod.ts";
import { evaluations, mostSteps, type SamplerChoice, type SamplerName } from "../../lib/diffusion/sampler.ts";
import { chooseSampler, planDraw } from "../../lib/sampling/request.ts";
import { sampleClass } from "../evaluation/samples.ts";

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

/** Options of a cell's guidance. */
export type GuidanceOptions = Pick<GenerateOptions, "guidance" | "guidanceRescale" | "guidanceInterval">;

/**
 * A cell's plan with its guidance.
 *
 * @throws {ConfigError} for guidance that the model lacks
 */
export function withGuidance(plan: CellPlan, options: GuidanceOptions, model: DDPM): GuidedPlan {
  const { guidance, guidanceRescale = 0, guidanceInterval } = planDraw(
    { ...givenGuidance(options), class: [sampleClass(model, 0)] },
    model,
  );
  if (!guidanceInterval) return { ...plan, guidance, guidanceRescale, guidanceInterval: null };
  const [above, upTo] = guidanceInterval;
  return {
    ...plan,
    guidance,
    guidanceRescale,
    guidanceInterval: [above, Number.isFinite(upTo) ? upTo : null],
  };
}

/** The options of guidance among others. */
export function givenGuidance(
  { guidance, guidanceRescale, guidanceInterval }: GuidanceOptions,
): GuidanceOptions {
  return {
    ...guidance === undefined ? {} : { guidance },
    ...guidanceRescale === undefined ? {} : { guidanceRescale },
    ...guidanceInterval === undefined ? {} : { guidanceInterval },
  };
}

/** Name of a cell, for directories and progress: `dpm++2m-karras-10`, with `guidance-4-rescaled-0.7` and the like if asked for. */
export function nameOfPlan(plan: GuidedPlan, asked: GuidanceOptions): string {
  const own = Object.keys(givenGuidance(asked)).length > 0;
  const guidance = own ? `-guidance-${describeGuidance(plan).replaceAll(/[, ]+/g, "-")}` : "";
  return `${plan.sampler}-${plan.spacing}-${plan.steps}${guidance}`;
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
