/**
 * Conversion of a noise schedule's configuration from and to diffusers' `scheduler_config.json`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { withSuggestion } from "../suggest.ts";
import { SCHEDULE_FIELDS, SCHEDULE_RULES, type ScheduleConfig } from "./schedule_config.ts";

/** A field's name and default in diffusers. */
interface DiffusersField {
  readonly name: string;
  readonly default: unknown;
  /** diffusers' words for values, by the project's own. */
  readonly words?: Readonly<Record<string, string>>;
}

const fields: { readonly [K in keyof ScheduleConfig]: DiffusersField } = {
  numTrainTimesteps: { name: "num_train_timesteps", default: 1000 },
  betaStart: { name: "beta_start", default: 1e-4 },
  betaEnd: { name: "beta_end", default: 0.02 },
  betaSchedule: {
    name: "beta_schedule",
    default: "linear",
    words: {
      linear: "linear",
      "scaled-linear": "scaled_linear",
      cosine: "squaredcos_cap_v2",
      sigmoid: "sigmoid",
      laplace: "laplace",
    },
  },
  betas: { name: "trained_betas", default: null },
  zeroTerminalSnr: { name: "rescale_betas_zero_snr", default: false },
  varianceType: { name: "variance_type", default: "fixed_small" },
  clipSample: { name: "clip_sample", default: true },
  clipSampleRange: { name: "clip_sample_range", default: 1 },
  objective: {
    name: "prediction_type",
    default: "epsilon",
    words: { epsilon: "epsilon", v: "v_prediction", x0: "sample" },
  },
  timestepSpacing: { name: "timestep_spacing", default: "leading" },
  stepsOffset: { name: "steps_offset", default: 0 },
  setAlphaToOne: { name: "set_alpha_to_one", default: true },
};

/** Variances that diffusers has and draws nothing from, and why. */
const BROKEN_VARIANCES: Readonly<Record<string, string>> = {
  fixed_large_log:
    "diffusers takes the root of the logarithm of beta, which is no number; fixed_large is what was meant",
  learned: "diffusers takes the root of what the network adds to its output, which nothing keeps above 0",
};

/** Name of a field in diffusers. */
export function diffusersName(field: keyof ScheduleConfig): string {
  return fields[field].name;
}

/** Unsupported features of diffusers' schedulers, and the value that switches each off. */
const switchedOff: Readonly<Record<string, unknown>> = {
  thresholding: false,
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

const linspace = { timestep_spacing: "linspace" };

/** Other schedulers of the same forward process, which differ in how they sample; and where their defaults differ. */
const otherSchedulers: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  DDIMInverseScheduler: {},
  DEISMultistepScheduler: linspace,
  DPMSolverMultistepScheduler: linspace,
  DPMSolverMultistepInverseScheduler: linspace,
  DPMSolverSDEScheduler: { ...stableDiffusion, ...linspace },
  DPMSolverSinglestepScheduler: linspace,
  EulerAncestralDiscreteScheduler: linspace,
  EulerDiscreteScheduler: linspace,
  HeunDiscreteScheduler: { ...stableDiffusion, ...linspace, clip_sample: false },
  KDPM2AncestralDiscreteScheduler: { ...stableDiffusion, ...linspace },
  KDPM2DiscreteScheduler: { ...stableDiffusion, ...linspace },
  LCMScheduler: { ...stableDiffusion, beta_schedule: "scaled_linear" },
  LMSDiscreteScheduler: linspace,
  PNDMScheduler: {},
  RePaintScheduler: {},
  SASolverScheduler: linspace,
  TCDScheduler: { ...stableDiffusion, beta_schedule: "scaled_linear" },
  UniPCMultistepScheduler: linspace,
};

/** Names of diffusers' schedulers with a schedule of betas. */
export const BETA_SCHEDULERS: readonly string[] = [...ownSchedulers, ...Object.keys(otherSchedulers)];

/** Those that clip estimates of x_0 where they are told to; the rest never do. */
const clipping: readonly string[] = [
  "DDIMInverseScheduler",
  "HeunDiscreteScheduler",
  "LCMScheduler",
  "RePaintScheduler",
  "TCDScheduler",
];

/** Those whose sampler `diffusers_sampler.ts` reads. */
const sampled: readonly string[] = [
  "DPMSolverMultistepScheduler",
  "EulerAncestralDiscreteScheduler",
  "EulerDiscreteScheduler",
  "HeunDiscreteScheduler",
  "UniPCMultistepScheduler",
];

const diffusersNames = new Set(Object.values(fields).map(({ name }) => name));

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
  // There it is the same variance by way of its logarithm.
  if (given.variance_type === "fixed_small_log") given.variance_type = "fixed_small";
  if (!clips(source._class_name)) given.clip_sample = false;
  const entries = SCHEDULE_FIELDS.map((key) => {
    const field = fields[key];
    const value = given[field.name];
    // In Python null is false where a switch is expected.
    if (value === null && typeof field.default === "boolean") return [key, false];
    return [key, ownWord(field, value ?? defaults[field.name] ?? field.default)];
  });
  const read = Object.fromEntries(entries) as ScheduleConfig;
  const config: ScheduleConfig = read.betas === null ? read : { ...read, betaSchedule: "custom" };
  for (const key of SCHEDULE_FIELDS) {
    const { accepts, allowed } = SCHEDULE_RULES[key];
    if (accepts(config[key], config)) continue;
    const why = key === "varianceType" ? BROKEN_VARIANCES[String(config[key])] : undefined;
    throw new ConfigError(fields[key].name, config[key], why === undefined ? allowed : `${allowed} (${why})`);
  }
  noteIgnored(source, onNote);
  return config;
}

/**
 * The project's word for a value of diffusers'.
 * @throws {ConfigError} naming the field, for a word that has none
 */
function ownWord({ name, words }: DiffusersField, value: unknown): unknown {
  if (!words) return value;
  const entry = Object.entries(words).find(([, word]) => word === value);
  if (entry) return entry[0];
  throw new ConfigError(
    name,
    value,
    Object.values(words).map((word) => JSON.stringify(word)).join(" or "),
  );
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
  const allowed = withSuggestion(
    `a scheduler with a schedule of betas (${BETA_SCHEDULERS.join(", ")})`,
    String(className),
    BETA_SCHEDULERS,
  );
  throw new ConfigError("_class_name", className, allowed);
}

function clips(className: unknown): boolean {
  return className === undefined || [...ownSchedulers, ...clipping].includes(String(className));
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
  if (sampled.includes(className)) return; // its fields are `samplerFromDiffusers`'
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
  const entries = SCHEDULE_FIELDS.map((key): [string, unknown] => {
    const { name, words, default: usual } = fields[key];
    // Betas of one's own have no name in diffusers, which then ignores the schedule's.
    return [name, words ? words[String(config[key])] ?? usual : config[key]];
  });
  const all = [...entries, ...Object.entries(switchedOff)].sort(([a], [b]) => a < b ? -1 : 1);
  return { _class_name: "DDPMScheduler", ...Object.fromEntries(all) };
}
