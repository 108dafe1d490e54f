/**
 * Configuration of a noise schedule: types, checks, and conversion from and to diffusers' `scheduler_config.json`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";

/** Growth of `beta_t`: linear, linear in its square root, or such that `acp_t` follows a squared cosine. */
export type BetaSchedule = "linear" | "scaled_linear" | "squaredcos_cap_v2";
/** Variance of a DDPM step: that of `q(x_{t-1} | x_t, x_0)`, or the larger `beta_t` (Ho et al. 2020, section 3.2). */
export type VarianceType = "fixed_small" | "fixed_large";
/** Target of the network's prediction: the noise, the image, or `v` (Salimans and Ho 2022). */
export type PredictionType = "epsilon" | "sample" | "v_prediction";
/** Spacing of the timesteps when sampling in fewer than `T` steps (Lin et al. 2024, table 2). */
export type TimestepSpacing = "leading" | "trailing" | "linspace";

/** Largest number of timesteps of a schedule. */
export const MAX_TIMESTEPS = 100_000;

/** Configuration of a noise schedule and of sampling from it; the fields are diffusers', in camel case. */
export interface ScheduleConfig {
  /** Number of timesteps `T` of the forward process, 2 to {@linkcode MAX_TIMESTEPS}. */
  readonly numTrainTimesteps: number;
  /** `beta` of the first timestep, above 0; unused by `squaredcos_cap_v2`. */
  readonly betaStart: number;
  /** `beta` of the last timestep, from `betaStart` to below 1; unused by `squaredcos_cap_v2`. */
  readonly betaEnd: number;
  /** Growth of `beta` in between. */
  readonly betaSchedule: BetaSchedule;
  /** Variance of the noise that a DDPM step adds. */
  readonly varianceType: VarianceType;
  /** Clip the estimate of `x_0` when sampling. */
  readonly clipSample: boolean;
  /** The estimate is clipped to `[-clipSampleRange, clipSampleRange]`; above 0. */
  readonly clipSampleRange: number;
  /** Target of the network's prediction. */
  readonly predictionType: PredictionType;
  /** Spacing of the timesteps when sampling in fewer than `T` steps. */
  readonly timestepSpacing: TimestepSpacing;
  /** Added to every timestep of the `leading` spacing, 0 to `numTrainTimesteps - 1`. */
  readonly stepsOffset: number;
  /** DDIM's last step ends at `acp = 1` (true) or at `acp_0` (false). */
  readonly setAlphaToOne: boolean;
}

/** The schedule of Ho et al. 2020 for CIFAR-10 (sections 3.2 and 4). */
export const defaultSchedule: ScheduleConfig = Object.freeze({
  numTrainTimesteps: 1000,
  betaStart: 1e-4,
  betaEnd: 0.02,
  betaSchedule: "linear",
  varianceType: "fixed_large",
  clipSample: true,
  clipSampleRange: 1,
  predictionType: "epsilon",
  timestepSpacing: "leading",
  stepsOffset: 0,
  setAlphaToOne: true,
});

/** A field's name and default in diffusers, and its allowed values. */
interface Field {
  readonly diffusersName: string;
  readonly diffusersDefault: unknown;
  readonly allowed: string;
  readonly accepts: (value: unknown, config: ScheduleConfig) => boolean;
}

const fields: { readonly [K in keyof ScheduleConfig]: Field } = {
  numTrainTimesteps: {
    ...field("num_train_timesteps", 1000, `an integer from 2 to ${MAX_TIMESTEPS}`),
    accepts: (value) => isInteger(value, 2, MAX_TIMESTEPS),
  },
  betaStart: {
    ...field("beta_start", 1e-4, "a number above 0 and below 1"),
    accepts: (value) => isNumber(value) && value > 0 && value < 1,
  },
  betaEnd: {
    ...field("beta_end", 0.02, "a number from beta_start to below 1"),
    accepts: (value, config) => isNumber(value) && value >= config.betaStart && value < 1,
  },
  betaSchedule: choice("beta_schedule", "linear", ["linear", "scaled_linear", "squaredcos_cap_v2"]),
  varianceType: choice("variance_type", "fixed_small", ["fixed_small", "fixed_large"]),
  clipSample: choice("clip_sample", true, [true, false]),
  clipSampleRange: {
    ...field("clip_sample_range", 1, "a number above 0"),
    accepts: (value) => isNumber(value) && value > 0,
  },
  predictionType: choice("prediction_type", "epsilon", ["epsilon", "sample", "v_prediction"]),
  timestepSpacing: choice("timestep_spacing", "leading", ["leading", "trailing", "linspace"]),
  stepsOffset: {
    ...field("steps_offset", 0, "an integer from 0 to num_train_timesteps - 1"),
    accepts: (value, config) => isInteger(value, 0, config.numTrainTimesteps - 1),
  },
  setAlphaToOne: choice("set_alpha_to_one", true, [true, false]),
};

/** Unsupported features of diffusers' schedulers, and the value that switches each off. */
const switchedOff: Readonly<Record<string, unknown>> = {
  trained_betas: null,
  thresholding: false,
  rescale_betas_zero_snr: false,
};

/** Likewise, of schedulers other than DDPM's and DDIM's; not written, since those two would not know it. */
const flowMatching: Readonly<Record<string, unknown>> = { use_flow_sigmas: false };

/** Fields that have no effect once `thresholding` is off. */
const withoutEffect: readonly string[] = ["dynamic_thresholding_ratio", "sample_max_value"];

/** Field of old diffusers in place of `prediction_type`. */
const PREDICT_EPSILON = "predict_epsilon";

/** Schedulers whose samplers are also here. */
const ownSchedulers: readonly string[] = [
  "DDPMScheduler",
  "DDIMScheduler",
  "DDPMParallelScheduler",
  "DDIMParallelScheduler",
];

const stableDiffusion = { beta_start: 0.00085, beta_end: 0.012 };

/** Other schedulers of the same forward process, which differ in how they sample; and where their defaults differ. */
const otherSchedulers: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  DDIMInverseScheduler: {},
  DEISMultistepScheduler: {},
  DPMSolverMultistepScheduler: {},
  DPMSolverMultistepInverseScheduler: {},
  DPMSolverSDEScheduler: stableDiffusion,
  DPMSolverSinglestepScheduler: {},
  EulerAncestralDiscreteScheduler: {},
  EulerDiscreteScheduler: {},
  HeunDiscreteScheduler: stableDiffusion,
  KDPM2AncestralDiscreteScheduler: stableDiffusion,
  KDPM2DiscreteScheduler: stableDiffusion,
  LCMScheduler: { ...stableDiffusion, beta_schedule: "scaled_linear" },
  LMSDiscreteScheduler: {},
  PNDMScheduler: {},
  RePaintScheduler: {},
  SASolverScheduler: {},
  TCDScheduler: { ...stableDiffusion, beta_schedule: "scaled_linear" },
  UniPCMultistepScheduler: {},
};

const names = Object.keys(fields) as (keyof ScheduleConfig)[];
const diffusersNames = new Set(names.map((name) => fields[name].diffusersName));

/**
 * Checks every field of a configuration.
 *
 * @throws {ConfigError} naming the field, in camel case, and its allowed values
 */
export function checkSchedule(config: ScheduleConfig): void {
  for (const name of Object.keys(config)) {
    if (!Object.hasOwn(fields, name)) {
      throw new ConfigError(name, "a value", `one of the fields ${names.join(", ")}`);
    }
  }
  for (const name of names) {
    if (!fields[name].accepts(config[name], config)) {
      throw new ConfigError(name, config[name], fields[name].allowed);
    }
  }
}

/**
 * Reads a parsed `scheduler_config.json` as diffusers' `DDPMScheduler.from_config` does: of any scheduler that has the
 * same forward process, absent fields taking defaults and unknown ones ignored.
 *
 * @param json the parsed file
 * @param onNote called with each ignored field or feature that a reader of the file might count on
 * @throws {ConfigError} naming the field, in diffusers' spelling, that is unsupported or out of its range
 */
export function parseScheduleConfig(
  json: unknown,
  onNote: (note: string) => void = () => {},
): ScheduleConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ConfigError("scheduler_config", json, "a JSON object");
  }
  const source = json as Record<string, unknown>;
  const defaults = schedulerDefaults(source._class_name);
  for (const [name, off] of Object.entries({ ...switchedOff, ...flowMatching })) {
    const value = source[name] ?? off;
    if (value !== off) throw new ConfigError(name, value, `${off} (nothing else is supported)`);
  }
  const given: Record<string, unknown> = { ...source, prediction_type: predictionType(source) };
  const entries = names.map((name) => {
    const { diffusersName, diffusersDefault } = fields[name];
    const value = given[diffusersName];
    // In Python null is false where a switch is expected.
    if (value === null && typeof diffusersDefault === "boolean") return [name, false];
    return [name, value ?? defaults[diffusersName] ?? diffusersDefault];
  });
  const config = Object.fromEntries(entries) as ScheduleConfig;
  for (const name of names) {
    const { accepts, diffusersName, allowed } = fields[name];
    if (!accepts(config[name], config)) throw new ConfigError(diffusersName, config[name], allowed);
  }
  noteIgnored(source, onNote);
  return config;
}

/**
 * Defaults of a scheduler that differ from those of `DDPMScheduler`.
 * @throws {ConfigError} for a scheduler of another forward process
 */
function schedulerDefaults(className: unknown): Readonly<Record<string, unknown>> {
  if (className === undefined || ownSchedulers.includes(className as string)) return {};
  if (typeof className === "string" && Object.hasOwn(otherSchedulers, className)) {
    return otherSchedulers[className]!;
  }
  const all = [...ownSchedulers, ...Object.keys(otherSchedulers)];
  throw new ConfigError("_class_name", className, `a scheduler with a schedule of betas (${all.join(", ")})`);
}

/**
 * The prediction type, which old versions of diffusers wrote as `predict_epsilon`.
 * @throws {ConfigError} where the two contradict each other
 */
function predictionType(source: Readonly<Record<string, unknown>>): unknown {
  const { prediction_type: type, [PREDICT_EPSILON]: epsilon } = source;
  if (epsilon !== false) return type;
  if (type === "epsilon") {
    throw new ConfigError(PREDICT_EPSILON, epsilon, 'true or no value beside prediction_type "epsilon"');
  }
  return type ?? "sample";
}

function noteIgnored(source: Readonly<Record<string, unknown>>, onNote: (note: string) => void): void {
  const className = String(source._class_name ?? ownSchedulers[0]);
  if (!ownSchedulers.includes(className)) {
    onNote(`the noise schedule is that of its ${className}, the sampler one of this project's own`);
    return; // whose fields are that sampler's
  }
  const known = [...Object.keys({ ...switchedOff, ...flowMatching }), ...withoutEffect, PREDICT_EPSILON];
  const ignored = Object.keys(source).filter((name) =>
    source[name] !== null && !name.startsWith("_") && !diffusersNames.has(name) && !known.includes(name)
  );
  if (ignored.length > 0) onNote(`fields without a meaning here are ignored: ${ignored.join(", ")}`);
}

/** Converts a configuration to the content of `scheduler_config.json`, fields in alphabetical order like diffusers. */
export function toDiffusersConfig(config: ScheduleConfig): Record<string, unknown> {
  const entries = names.map((name): [string, unknown] => [fields[name].diffusersName, config[name]]);
  const all = [...entries, ...Object.entries(switchedOff)].sort(([a], [b]) => a < b ? -1 : 1);
  return { _class_name: "DDPMScheduler", ...Object.fromEntries(all) };
}

function field(diffusersName: string, diffusersDefault: unknown, allowed: string): Omit<Field, "accepts"> {
  return { diffusersName, diffusersDefault, allowed };
}

function choice(diffusersName: string, diffusersDefault: unknown, values: readonly unknown[]): Field {
  const allowed = values.map((value) => JSON.stringify(value)).join(" or ");
  return { ...field(diffusersName, diffusersDefault, allowed), accepts: (value) => values.includes(value) };
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isInteger(value: unknown, from: number, to: number): boolean {
  return isNumber(value) && Number.isInteger(value) && value >= from && value <= to;
}
