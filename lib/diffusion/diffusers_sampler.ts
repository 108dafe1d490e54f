/**
 * Samplers of diffusers' `scheduler_config.json`: which of the project's samplers and spacings a scheduler is, and back.
 *
 * `DDPMScheduler` and `DDIMScheduler`, which diffusers writes by default for either way of sampling, leave the choice open.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { withSuggestion } from "../suggest.ts";
import { defaultSpacing, type SamplerChoice, type SamplerName, type SpacingName } from "./sampler.ts";
import { processToDiffusers, type TrainedProcess } from "./trained_process.ts";

/** Content of a `scheduler_config.json`. */
type SchedulerJson = Readonly<Record<string, unknown>>;

/** A scheduler that is one of the project's samplers. */
interface SamplerScheduler {
  readonly sampler: SamplerName;
  /** Fields that the sampler supports with one value only: that value, diffusers' default unless a reader says so. */
  readonly fixed: SchedulerJson;
  /** Fields that make it this sampler. */
  readonly choosing?: SchedulerJson;
  /** Switches of the spacings of sigma, by field. */
  readonly switches: Readonly<Record<string, SpacingName>>;
}

const karrasSigmas = { use_karras_sigmas: "karras", use_exponential_sigmas: "exponential" } as const;

const multistep = {
  solver_order: 2,
  lower_order_final: true,
  use_beta_sigmas: false,
  final_sigmas_type: "zero",
  use_dynamic_shifting: false,
};

const dpmSolver = {
  switches: { ...karrasSigmas, use_lu_lambdas: "log-snr" },
  fixed: { ...multistep, solver_type: "midpoint", euler_at_final: false },
} as const;

const edmFixed = { final_sigmas_type: "zero", rho: 7 };

const euler = {
  use_beta_sigmas: false,
  final_sigmas_type: "zero",
  timestep_type: "discrete",
  interpolation_type: "linear",
};

/** Schedulers by class name; several of one name differ in `choosing`. */
const schedulers: readonly (SamplerScheduler & { readonly name: string })[] = [
  { name: "EulerDiscreteScheduler", sampler: "euler", switches: karrasSigmas, fixed: euler },
  { name: "EulerAncestralDiscreteScheduler", sampler: "euler-ancestral", switches: {}, fixed: {} },
  {
    name: "HeunDiscreteScheduler",
    sampler: "heun",
    switches: karrasSigmas,
    fixed: { use_beta_sigmas: false },
  },
  {
    name: "DPMSolverMultistepScheduler",
    sampler: "dpm++2m",
    ...dpmSolver,
    choosing: { algorithm_type: "dpmsolver++" },
  },
  {
    name: "DPMSolverMultistepScheduler",
    sampler: "dpm++2m-sde",
    ...dpmSolver,
    choosing: { algorithm_type: "sde-dpmsolver++" },
  },
  {
    name: "UniPCMultistepScheduler",
    sampler: "unipc",
    switches: karrasSigmas,
    fixed: { ...multistep, solver_type: "bh2", predict_x0: true, solver_p: null },
  },
  { name: "FlowMatchEulerDiscreteScheduler", sampler: "euler", switches: karrasSigmas, fixed: {} },
  { name: "FlowMatchHeunDiscreteScheduler", sampler: "heun", switches: {}, fixed: {} },
  { name: "EDMEulerScheduler", sampler: "euler", switches: {}, fixed: edmFixed },
  {
    name: "EDMDPMSolverMultistepScheduler",
    sampler: "dpm++2m",
    switches: {},
    fixed: { ...edmFixed, ...dpmSolver.fixed },
    choosing: { algorithm_type: "dpmsolver++" },
  },
  {
    name: "EDMDPMSolverMultistepScheduler",
    sampler: "dpm++2m-sde",
    switches: {},
    fixed: { ...edmFixed, ...dpmSolver.fixed },
    choosing: { algorithm_type: "sde-dpmsolver++" },
  },
];

/** Names of the schedulers that {@linkcode samplerFromDiffusers} reads. */
export const SAMPLER_SCHEDULERS: readonly string[] = [...new Set(schedulers.map(({ name }) => name))];

/**
 * Sampler and spacing of a parsed `scheduler_config.json`.
 *
 * @param json the file, which `processFromDiffusers` has read
 * @param onNote told which of its fields the sampler does not support
 * @returns undefined for schedulers that leave the choice, or that are none of the project's samplers
 */
export function samplerFromDiffusers(
  json: unknown,
  onNote: (note: string) => void,
): Required<SamplerChoice> | undefined {
  const source = json as SchedulerJson;
  const named = schedulers.filter(({ name }) => name === source._class_name);
  const scheduler = named.find(({ choosing = {} }) =>
    Object.entries(choosing).every(([field, value]) => (source[field] ?? usualOf(named, field)) === value)
  );
  const [first] = named;
  if (!first) return undefined;
  const { sampler, fixed, switches, choosing = {} } = scheduler ?? first;
  const unsupported = Object.entries(scheduler ? fixed : { ...fixed, ...choosing })
    .filter(([field, value]) => (source[field] ?? value) !== value)
    .map(([field, value]) => `${field} ${JSON.stringify(source[field])} (here ${JSON.stringify(value)})`);
  const spacing = Object.keys(switches).find((field) => source[field] === true);
  if (spacing !== undefined && spansTimesteps(source)) {
    unsupported.push(
      `${spacing} within timestep_spacing "${source.timestep_spacing}" (here of all noise levels)`,
    );
  }
  if (unsupported.length > 0) {
    onNote(`the sampler is ${sampler}, which does not support its ${unsupported.join(", ")}`);
  }
  return { sampler, spacing: spacing === undefined ? timeSpacing(source) : switches[spacing]! };
}

/** Value of a choosing field that a file leaves out: that of the first scheduler of the name. */
function usualOf([first]: readonly SamplerScheduler[], field: string): unknown {
  return first?.choosing?.[field];
}

/** True where sigmas are spaced between those of the timesteps rather than between all. */
function spansTimesteps(
  { _class_name: name, timestep_spacing: spacing = "linspace" }: SchedulerJson,
): boolean {
  return spacing !== "linspace" && (name === "EulerDiscreteScheduler" || name === "HeunDiscreteScheduler");
}

function timeSpacing({ _class_name: name, timestep_spacing, sigma_schedule }: SchedulerJson): SpacingName {
  if (String(name).startsWith("EDM")) return sigma_schedule === "exponential" ? "exponential" : "karras";
  return (timestep_spacing ?? "linspace") as SpacingName; // the schedule's reader has checked it
}

/** Fields of the noise schedule that every scheduler of betas has. */
const scheduleFields: readonly string[] = [
  "num_train_timesteps",
  "beta_start",
  "beta_end",
  "beta_schedule",
  "trained_betas",
  "prediction_type",
  "steps_offset",
];

/**
 * The content of a `scheduler_config.json` whose scheduler is a sampler of the project's.
 *
 * @param choice sampler and spacing; the default spacing is {@linkcode defaultSpacing}
 * @throws {ConfigError} for a sampler or a spacing that no scheduler of the process has
 */
export function samplerToDiffusers(process: TrainedProcess, choice: SamplerChoice): Record<string, unknown> {
  const base = processToDiffusers(process);
  const { sampler = "ddim" } = choice;
  if (sampler === "ddim" || sampler === "ddpm") return byName(process, base, sampler, choice.spacing);
  const family = processFamily(process);
  const scheduler = schedulers.find((each) => each.sampler === sampler && familyOf(each.name) === family);
  if (!scheduler) {
    const known = schedulers.filter(({ name }) => familyOf(name) === family).map(({ sampler }) => sampler);
    const names = [...new Set(known)];
    const allowed = withSuggestion(
      `${names.join(", ")}: diffusers has no scheduler for others`,
      sampler,
      names,
    );
    throw new ConfigError("sampler", sampler, allowed);
  }
  const { name, fixed, choosing = {}, switches } = scheduler;
  const spacing = choice.spacing ?? usualSpacing(process, sampler);
  const flags = Object.entries(switches).map(([field, of]) => [field, of === spacing] as const);
  const switched = flags.some(([, on]) => on);
  if (!switched && !timeSpacings(family).includes(spacing)) {
    const allowed = [...timeSpacings(family), ...Object.values(switches)].join(", ");
    throw new ConfigError("spacing", spacing, `${allowed}: ${name} has no others`);
  }
  const own = family === "betas" ? pick(base, scheduleFields) : base;
  const timestepSpacing = family === "betas" ? { timestep_spacing: switched ? "linspace" : spacing } : {};
  const sigmaSchedule = family === "edm" ? { sigma_schedule: spacing } : {};
  return {
    ...own,
    ...fixed,
    ...choosing,
    ...Object.fromEntries(flags),
    ...timestepSpacing,
    ...sigmaSchedule,
    _class_name: name,
  };
}

/** The configuration of DDPM or DDIM, which differ in the scheduler's name alone. */
function byName(
  process: TrainedProcess,
  base: Record<string, unknown>,
  sampler: "ddpm" | "ddim",
  spacing: SpacingName | undefined,
): Record<string, unknown> {
  if (processFamily(process) !== "betas") {
    throw new ConfigError(
      "sampler",
      sampler,
      "another sampler: diffusers has it for schedules of betas only",
    );
  }
  const allowed = timeSpacings("betas");
  if (spacing !== undefined && !allowed.includes(spacing)) {
    throw new ConfigError(
      "spacing",
      spacing,
      `${allowed.join(", ")}: diffusers has no others for ${sampler}`,
    );
  }
  return {
    ...base,
    ...(spacing === undefined ? {} : { timestep_spacing: spacing }),
    _class_name: sampler === "ddpm" ? "DDPMScheduler" : "DDIMScheduler",
  };
}

type Family = "betas" | "flow" | "edm";

function familyOf(name: string): Family {
  return name.startsWith("FlowMatch") ? "flow" : name.startsWith("EDM") ? "edm" : "betas";
}

function processFamily({ objective }: TrainedProcess): Family {
  return objective === "flow" || objective === "edm" ? objective : "betas";
}

/** Spacings that schedulers of a family have without a switch. */
function timeSpacings(family: Family): readonly SpacingName[] {
  if (family === "edm") return ["karras", "exponential"];
  return family === "flow" ? ["linspace"] : ["leading", "trailing", "linspace"];
}

function usualSpacing(process: TrainedProcess, sampler: SamplerName): SpacingName {
  return processFamily(process) === "flow" ? "linspace" : defaultSpacing(process, sampler);
}

function pick(source: SchedulerJson, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.filter((name) => name in source).map((name) => [name, source[name]]));
}
