/**
 * Samplers by name, and the checks of their settings.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { withSuggestion } from "../suggest.ts";
import { type ForwardProcess, sigmaOf } from "./forward_process.ts";
import { ddimSteps } from "./samplers/ddim.ts";
import { ddpmSpacing, ddpmSteps } from "./samplers/ddpm.ts";
import { dpmpp2mSteps, multistepSpacing } from "./samplers/dpmpp_2m.ts";
import { dpmpp2mSdeSteps } from "./samplers/dpmpp_2m_sde.ts";
import { edmSteps } from "./samplers/edm.ts";
import { eulerSpacing, eulerSteps } from "./samplers/euler.ts";
import { eulerAncestralSteps } from "./samplers/euler_ancestral.ts";
import { heunSteps } from "./samplers/heun.ts";
import type { PlannerOptions, SamplerOptions, SamplerSettings, SamplerStep } from "./samplers/step.ts";
import { unipcSteps } from "./samplers/unipc.ts";
import { NoiseSchedule } from "./schedule.ts";
import { checkLevels, mostLevels, type SpacingConvention, type SpacingName } from "./spacing.ts";

export {
  applyStep,
  type SamplerOptions,
  type SamplerSettings,
  type SamplerState,
  type SamplerStep,
  startState,
  variances,
} from "./samplers/step.ts";
export { type SpacingName, spacingNames } from "./spacing.ts";

/** Name of a sampler. */
export type SamplerName =
  | "ddpm"
  | "ddim"
  | "euler"
  | "euler-ancestral"
  | "heun"
  | "dpm++2m"
  | "dpm++2m-sde"
  | "unipc"
  | "edm";

/** A sampler: its plan, and how it spaces noise levels. */
interface Sampler {
  readonly plan: (process: ForwardProcess, options: PlannerOptions) => SamplerStep[];
  readonly convention: SpacingConvention;
  /** Default spacing for a process with whole timesteps; undefined: that of the model's configuration. */
  readonly spacing?: SpacingName;
  /** Default spacing for a process in continuous time; undefined: `trailing`, which is uniform in `t`. */
  readonly continuousSpacing?: SpacingName;
  /** Network evaluations of a number of steps. */
  readonly evaluations: (steps: number) => number;
  /** Options beside steps, spacing and clipping that it takes. */
  readonly options: readonly (keyof SamplerSettings)[];
  /** Every step depends on `x` alone, not on earlier estimates, so that steps can be repeated. */
  readonly markov: boolean;
}

const once = { evaluations: (steps: number) => steps, options: [], markov: true };
const multistep = { ...once, markov: false };
/** Two evaluations a step, but one in the last. */
const twice = {
  evaluations: (steps: number) => 2 * steps - 1,
  spacing: "karras",
  continuousSpacing: "karras",
  options: [],
  markov: false,
} as const;

const samplers: Readonly<Record<SamplerName, Sampler>> = {
  ddpm: { ...once, plan: ddpmSteps, convention: ddpmSpacing, options: ["variance"] },
  ddim: { ...once, plan: ddimSteps, convention: ddpmSpacing, options: ["eta"] },
  euler: { ...once, plan: eulerSteps, convention: eulerSpacing, spacing: "linspace" },
  "euler-ancestral": { ...once, plan: eulerAncestralSteps, convention: eulerSpacing, spacing: "linspace" },
  heun: { ...twice, plan: heunSteps, convention: eulerSpacing },
  "dpm++2m": { ...multistep, plan: dpmpp2mSteps, convention: multistepSpacing, spacing: "karras" },
  "dpm++2m-sde": { ...multistep, plan: dpmpp2mSdeSteps, convention: multistepSpacing, spacing: "linspace" },
  unipc: { ...multistep, plan: unipcSteps, convention: multistepSpacing, spacing: "karras" },
  edm: {
    ...twice,
    plan: edmSteps,
    convention: eulerSpacing,
    options: ["churn", "churnRange", "churnNoise"],
  },
};

/** A step of a plan, with the noise level at which it evaluates the network. */
export interface PlannedStep extends SamplerStep {
  /** Ratio of noise to signal in the network's input. */
  readonly noiseRatio: number;
}

/** Names that {@link planSampling} accepts. */
export const samplerNames: readonly SamplerName[] = Object.keys(samplers) as SamplerName[];

/** Samplers whose steps depend on `x` alone. */
export const markovSamplers: readonly SamplerName[] = samplerNames.filter((name) => samplers[name].markov);

/** The sampler and the spacing of a request. */
export interface SamplerChoice {
  /** Sampler; default `ddim`. */
  readonly sampler?: SamplerName;
  /** Spacing of the noise levels; default {@linkcode defaultSpacing}. */
  readonly spacing?: SpacingName;
}

/** Settings that only some samplers take. */
const particular: readonly (keyof SamplerSettings)[] = [
  "eta",
  "variance",
  "churn",
  "churnRange",
  "churnNoise",
];

/** Samplers that take a setting. */
export function samplersTaking(setting: keyof SamplerSettings): readonly SamplerName[] {
  return samplerNames.filter((name) => samplers[name].options.includes(setting));
}

/** The settings of a sampler that are given, without other fields. */
export function givenSettings(of: SamplerSettings): SamplerSettings {
  const names: readonly (keyof SamplerSettings)[] = ["spacing", ...particular];
  return Object.fromEntries(names.filter((name) => of[name] !== undefined).map((name) => [name, of[name]]));
}

/**
 * Checks that a sampler exists and takes the options given.
 *
 * @throws {ConfigError} for an unknown name, or an option that is another sampler's
 */
export function checkSampler(sampler: SamplerName, options: SamplerSettings = {}): void {
  if (!Object.hasOwn(samplers, sampler)) {
    const allowed = withSuggestion(samplerNames.join(", "), String(sampler), samplerNames);
    throw new ConfigError("sampler", sampler, allowed);
  }
  for (const name of particular) {
    if (options[name] === undefined || samplers[sampler].options.includes(name)) continue;
    const taking = samplersTaking(name).join(", ");
    throw new ConfigError(name, options[name], `no value with sampler ${sampler}, only with ${taking}`);
  }
}

/**
 * Spacing of a sampler if none is chosen.
 *
 * - With whole timesteps: that of its scheduler in diffusers (`ddpm` and `ddim`: of the model's configuration), but `karras` for
 *   `dpm++2m` and `unipc`, whose images in 10 to 20 steps are better so (`docs/quality.md`), and for `heun`, whose last slope
 *   leaves noise in the image where timesteps are equally spaced.
 * - For rectified flow: `trailing`, which is uniform in `t`; for `heun` and `edm`, `karras`.
 * - For EDM: `karras`.
 */
export function defaultSpacing(process: ForwardProcess, sampler: SamplerName): SpacingName {
  const { spacing, continuousSpacing = "trailing" } = samplers[sampler];
  if (!process.timeAxis) return "karras";
  if (!process.timeAxis.whole) return continuousSpacing;
  return spacing ?? (process instanceof NoiseSchedule ? process.config.timestepSpacing : "leading");
}

/** Network evaluations that a number of steps of a sampler takes: `2 steps - 1` for `heun` and `edm`, else one a step. */
export function evaluations(sampler: SamplerName, steps: number): number {
  return samplers[sampler].evaluations(steps);
}

/**
 * Largest number of steps that a model allows.
 *
 * @param limit upper bound on the network evaluations, 1 or more; at least one step is allowed
 */
export function mostSteps(
  process: ForwardProcess,
  limit: number = Infinity,
  choice: SamplerChoice = {},
): number {
  const { sampler = "ddim", spacing = defaultSpacing(process, sampler) } = choice;
  const { convention } = samplers[sampler];
  let most = mostLevels(process, spacing, convention, limit);
  while (most > 1 && evaluations(sampler, most) > limit) {
    // `evaluations` grows at least as fast as the steps, so this ends at the first number that fits.
    most = mostLevels(process, spacing, convention, Math.min(most - 1, Math.ceil(limit / 2)));
  }
  return most;
}

/**
 * Checks a number of steps.
 *
 * @throws {ConfigError} naming the largest number, or where `steps_offset` rules out just this one, its neighbours
 */
export function checkSteps(process: ForwardProcess, steps: number, choice: SamplerChoice = {}): void {
  const { sampler = "ddim", spacing = defaultSpacing(process, sampler) } = choice;
  checkSampler(sampler);
  checkLevels(process, spacing, steps, samplers[sampler].convention);
}

/**
 * Plans the steps from noise to an image, one for each evaluation of the network: start from normal noise of standard
 * deviation `initialNoise` (Ho et al. 2020, Algorithm 2, line 1), and apply them in order.
 *
 * @param sampler name of the sampler
 * @param process the process that the network was trained with
 * @param options number of steps, their spacing, and the sampler's own options
 * @throws {ConfigError} naming the option that is unknown, of another sampler or out of its range
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { applyStep, planSampling, startState } from "./sampler.ts";
 * import { NoiseSchedule } from "./schedule.ts";
 *
 * let state = startState(Float64Array.of(0.3, -1.2)); // two pixels of noise
 * for (const step of planSampling("ddim", new NoiseSchedule(), { steps: 20 })) {
 *   const predictedNoise = state.x; // a network would look at state.x and step.timestep
 *   state = applyStep(step, state, predictedNoise);
 * }
 * assert.ok(state.x.every((pixel) => Math.abs(pixel) <= 1));
 * ```
 */
export function planSampling(
  sampler: SamplerName,
  process: ForwardProcess,
  options: SamplerOptions,
): PlannedStep[] {
  checkSampler(sampler, options);
  const { spacing = defaultSpacing(process, sampler) } = options;
  return samplers[sampler].plan(process, { ...options, spacing })
    .map((step) => ({ ...step, noiseRatio: sigmaOf(step.level) }));
}
