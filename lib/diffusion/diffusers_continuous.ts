/**
 * Conversion of rectified flow and EDM from and to diffusers' `scheduler_config.json`. The distribution of noise levels in
 * training has no place in these files; a model that was read has the default one.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { EdmProcess } from "./edm_process.ts";
import { FLOW_TIMESTEPS, RectifiedFlow } from "./rectified_flow.ts";

/** Content of a `scheduler_config.json`. */
type SchedulerJson = Readonly<Record<string, unknown>>;

/** Scheduler of a process in diffusers. */
interface DiffusersScheduler {
  /** The scheduler that is written first, then others of the same process. */
  readonly names: readonly [string, ...string[]];
  /** Fields with the only value that is supported. */
  readonly fixed: SchedulerJson;
  /** Fields of diffusers' samplers, with defaults. */
  readonly ofSampler: SchedulerJson;
  /** Fields that `samplerFromDiffusers` reads. */
  readonly read: readonly string[];
}

const FLOW: DiffusersScheduler = {
  names: ["FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler"],
  fixed: { num_train_timesteps: FLOW_TIMESTEPS, invert_sigmas: false },
  ofSampler: {
    shift: 1,
    use_dynamic_shifting: false,
    base_shift: 0.5,
    max_shift: 1.15,
    base_image_seq_len: 256,
    max_image_seq_len: 4096,
    shift_terminal: null,
    use_karras_sigmas: false,
    use_exponential_sigmas: false,
    use_beta_sigmas: false,
    time_shift_type: "exponential",
    stochastic_sampling: false,
  },
  read: ["use_karras_sigmas", "use_exponential_sigmas"],
};

const EDM: DiffusersScheduler = {
  names: ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"],
  fixed: { prediction_type: "epsilon" },
  ofSampler: { num_train_timesteps: 1000, sigma_schedule: "karras", rho: 7, final_sigmas_type: "zero" },
  read: ["num_train_timesteps", "sigma_schedule", "rho", "final_sigmas_type"],
};

/** Names of diffusers' schedulers of rectified flow. */
export const FLOW_SCHEDULERS: readonly string[] = FLOW.names;

/** Names of diffusers' schedulers of EDM. */
export const EDM_SCHEDULERS: readonly string[] = EDM.names;

/**
 * Reads rectified flow.
 * @throws {ConfigError} naming the field that is unsupported
 */
export function flowFromDiffusers(json: SchedulerJson, onNote: (note: string) => void): RectifiedFlow {
  checkFields(FLOW, json, onNote);
  return new RectifiedFlow({ clip: clipOf(json) });
}

/** The content of a `scheduler_config.json` for `FlowMatchEulerDiscreteScheduler`. */
export function flowToDiffusers({ clip }: RectifiedFlow): Record<string, unknown> {
  return written(FLOW, clipFields(clip));
}

/**
 * Reads EDM.
 * @throws {ConfigError} naming the field that is unsupported or out of its range
 */
export function edmFromDiffusers(json: SchedulerJson, onNote: (note: string) => void): EdmProcess {
  checkFields(EDM, json, onNote);
  const schedule = json.sigma_schedule ?? "karras";
  if (schedule !== "karras" && schedule !== "exponential") {
    throw new ConfigError("sigma_schedule", schedule, '"karras" or "exponential"');
  }
  const options = {
    sigmaMin: positive(json, "sigma_min", 0.002),
    sigmaMax: positive(json, "sigma_max", 80),
    sigmaData: positive(json, "sigma_data", 0.5),
  };
  try {
    return new EdmProcess({ ...options, clip: clipOf(json) });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(underscored(error.field), error.value, underscored(error.allowed));
  }
}

/** The content of a `scheduler_config.json` for `EDMEulerScheduler`. */
export function edmToDiffusers(process: EdmProcess): Record<string, unknown> {
  const { sigmaMin, sigmaMax, sigmaData, clip } = process;
  return written(EDM, {
    sigma_min: sigmaMin,
    sigma_max: sigmaMax,
    sigma_data: sigmaData,
    ...clipFields(clip),
  });
}

function checkFields(
  { fixed, ofSampler, read }: DiffusersScheduler,
  json: SchedulerJson,
  onNote: (note: string) => void,
): void {
  for (const [name, only] of Object.entries(fixed)) {
    const value = json[name] ?? only;
    if (value !== only) {
      throw new ConfigError(name, value, `${JSON.stringify(only)} (nothing else is supported)`);
    }
  }
  const ignored = Object.entries(ofSampler).filter(([name, usual]) =>
    !read.includes(name) && (json[name] ?? usual) !== usual
  );
  if (ignored.length > 0) {
    onNote(`not supported and ignored: ${ignored.map(([name]) => name).join(", ")}`);
  }
  if (json._class_name === "FlowMatchLCMScheduler") {
    onNote("the noise levels are those of its FlowMatchLCMScheduler, the sampler one of this project's own");
  }
}

function written(
  { names, fixed, ofSampler }: DiffusersScheduler,
  own: SchedulerJson,
): Record<string, unknown> {
  const entries = Object.entries({ ...fixed, ...ofSampler, ...own }).sort(([a], [b]) => a < b ? -1 : 1);
  return { _class_name: names[0], ...Object.fromEntries(entries) };
}

/**
 * Clipping of estimates of x_0. These schedulers have none, and ignore the fields; models trained here are clipped as the
 * schedules of betas are, by fields of the same names.
 */
function clipOf(json: SchedulerJson): number | false {
  return json.clip_sample === true && positive(json, "clip_sample_range", 1);
}

function clipFields(clip: number | false): SchedulerJson {
  return clip === false ? {} : { clip_sample: true, clip_sample_range: clip };
}

function positive(json: SchedulerJson, name: string, usual: number): number {
  const value = json[name] ?? usual;
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  throw new ConfigError(name, value, "a number above 0");
}

/** Names of this project as diffusers writes them: `sigmaMin` becomes `sigma_min`. */
function underscored(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
