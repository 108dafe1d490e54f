/**
 * Settings of the training objective: what the network learns, and at which noise levels.
 *
 * @module
 */
import { boundScale, learnedVarianceRows } from "../diffusion/learned_variance.ts";
import { EdmProcess } from "../diffusion/edm_process.ts";
import type { Objective } from "../diffusion/forward_process.ts";
import { LOSS_WEIGHTINGS, type LossWeighting, objectiveTables } from "../diffusion/objective.ts";
import { FLOW_TIMES, type FlowTimes, RectifiedFlow } from "../diffusion/rectified_flow.ts";
import { type BetaSchedule, makeBetas, SCHEDULES_WITH_ENDS } from "../diffusion/betas.ts";
import { defaultSchedule, MAX_TIMESTEPS, NoiseSchedule } from "../diffusion/schedule.ts";
import type { TrainedProcess } from "../diffusion/trained_process.ts";
import { ConfigError } from "../errors.ts";
import type { TrainingLevels } from "./device/step_buffers.ts";
import type { BatchOptions } from "./device/step_graph.ts";
import type { SettingTable } from "./setting.ts";

/** Settings of the training objective. */
export interface ObjectiveSettings {
  /** Target of the network: the noise, `v`, the image, or that of rectified flow or EDM. */
  readonly objective: Objective;
  /** Distribution of `t` in training with objective `flow`. */
  readonly flowTimes: FlowTimes;
  /** Schedule of betas for objectives `epsilon`, `v` and `x0`. */
  readonly schedule: Exclude<BetaSchedule, "custom">;
  /** Betas of one's own, one per timestep, in place of a schedule; null for none. */
  readonly betas: readonly number[] | null;
  /** Number of timesteps `T` of the schedule, 2 to 100,000, and as many as leave some of the image. */
  readonly timesteps: number;
  /**
   * Rescale the betas so that the last timestep is pure noise (Lin et al. 2024, arXiv 2305.08891). Not with objective `epsilon`.
   */
  readonly zeroTerminalSnr: boolean;
  /** Loss weighting over timesteps. Not with objectives `flow` and `edm`, whose noise levels are their weighting. */
  readonly weighting: LossWeighting;
  /** Cap of weightings `min-snr` and `soft-min-snr`, exponent of `p2`; null for 5 and 1. */
  readonly gamma: number | null;
  /** `k` of weighting `p2`, above 0. */
  readonly p2K: number;
  /** Loss: the squared error, or Huber's, which is linear for large errors. */
  readonly loss: "mse" | "huber";
  /** Error from which Huber's loss is linear, above 0. */
  readonly huberDelta: number;
  /**
   * Learn the variance of the reverse process, too (Nichol and Dhariwal 2021): the network gets twice the output channels. For
   * objectives `epsilon`, `v` and `x0`.
   */
  readonly learnedVariance: boolean;
  /**
   * Self-conditioning (Chen, Zhang and Hinton 2022): the network is given its previous estimate of the image. It gets twice the input
   * channels, and a step takes a forward pass more.
   */
  readonly selfConditioning: boolean;
  /** Draw the noise levels of a batch from as many equal strata. */
  readonly stratified: boolean;
}

/** Table of the settings of the training objective. */
export const OBJECTIVE_SETTINGS: SettingTable<Partial<ObjectiveSettings>> = {
  objective: {
    kind: "choice",
    choices: ["epsilon", "v", "x0", "flow", "edm"],
    default: "epsilon",
    valueName: "NAME",
    help: "target of the network: the noise, v, the image, rectified flow's direction, or EDM's",
  },
  flowTimes: {
    kind: "choice",
    choices: FLOW_TIMES,
    default: "uniform",
    valueName: "NAME",
    help: "distribution of t in training with objective flow",
  },
  schedule: {
    kind: "choice",
    choices: ["linear", "scaled-linear", "cosine", "sigmoid", "laplace"],
    default: "linear",
    valueName: "NAME",
    help: "noise schedule for objectives epsilon, v and x0",
  },
  betas: {
    kind: "numbers",
    above: 0,
    below: 1,
    minLength: 2,
    maxLength: MAX_TIMESTEPS,
    default: null,
    null: "those of the schedule",
    valueName: "FILE",
    conflicts: ["schedule", "timesteps"],
    help: "betas of your own, a list with one per timestep",
  },
  timesteps: {
    kind: "whole",
    min: 2,
    max: MAX_TIMESTEPS,
    default: 1000,
    help: "timesteps T of the schedule",
  },
  zeroTerminalSnr: {
    kind: "boolean",
    default: false,
    help: "rescale the betas so that the last timestep is pure noise; not with objective epsilon",
  },
  weighting: {
    kind: "choice",
    choices: LOSS_WEIGHTINGS,
    default: "none",
    valueName: "NAME",
    help:
      "loss weighting over timesteps for objectives epsilon, v and x0; 0 in pure noise, which leaves the last timestep of " +
      "a schedule with zero terminal SNR untrained",
  },
  gamma: {
    kind: "number",
    min: 0,
    max: 1e6,
    aboveMin: true,
    default: null,
    null: "5 for the cap, 1 for the exponent",
    help: "cap of weightings min-snr and soft-min-snr, exponent of p2",
  },
  p2K: {
    kind: "number",
    min: 0,
    max: 1e6,
    aboveMin: true,
    default: 1,
    help: "k of weighting p2",
  },
  loss: {
    kind: "choice",
    choices: ["mse", "huber"],
    default: "mse",
    valueName: "NAME",
    help: "loss: the squared error, or Huber's, which is linear for large errors",
  },
  huberDelta: {
    kind: "number",
    min: 0,
    max: 1e6,
    aboveMin: true,
    default: 1,
    help: "error from which loss huber is linear",
  },
  learnedVariance: {
    kind: "boolean",
    default: false,
    help: "learn the variance of the reverse process, too, with objectives epsilon, v and x0",
  },
  selfConditioning: {
    kind: "boolean",
    default: false,
    help: "give the network its previous estimate of the image, too; steps take about a third more time",
  },
  stratified: {
    kind: "boolean",
    default: false,
    help: "draw the noise levels of a batch from as many equal strata",
  },
};

/** Settings of the schedule of betas. */
const OF_SCHEDULE = ["schedule", "betas", "timesteps", "zeroTerminalSnr", "learnedVariance"] as const;

/**
 * Checks that the settings of the objective go together.
 * @throws {ConfigError} naming the first that does not, and why
 */
export function checkObjective(settings: ObjectiveSettings): void {
  const { objective, weighting, loss } = settings;
  const without = (names: readonly (keyof ObjectiveSettings)[], why: string) => {
    for (const name of names) {
      const { default: usual } = OBJECTIVE_SETTINGS[name];
      if (settings[name] !== usual) throw new ConfigError(name, settings[name], `${usual} ${why}`);
    }
  };
  if (objective !== "flow") without(["flowTimes"], `with objective ${objective}: only flow draws t`);
  if (objective === "flow" || objective === "edm") {
    without(OF_SCHEDULE, `with objective ${objective}, which has no schedule of betas`);
    without(
      ["weighting"],
      `with objective ${objective}, whose distribution of noise levels is its weighting`,
    );
  }
  if (settings.betas !== null) without(["schedule", "timesteps"], "beside betas, which say both");
  if (objective === "epsilon") {
    without(["zeroTerminalSnr"], "with objective epsilon: in pure noise the noise says nothing of the image");
  }
  if (weighting === "none") without(["gamma"], "with weighting none");
  if (weighting !== "p2") without(["p2K"], `with weighting ${weighting}: only p2 has a k`);
  if (loss !== "huber") without(["huberDelta"], `with loss ${loss}: only huber has a delta`);
  checkSignalLeft(settings);
}

/** Checks that the betas leave some of the image. */
function checkSignalLeft(settings: ObjectiveSettings): void {
  try {
    processOf(settings);
  } catch (error) {
    if (!(error instanceof ConfigError) || error.field !== "numTrainTimesteps") throw error;
    throw new ConfigError("timesteps", error.value, error.allowed);
  }
}

/** Forward process of a run. */
export function processOf(settings: ObjectiveSettings): TrainedProcess {
  const { objective, flowTimes, schedule, betas, timesteps, zeroTerminalSnr, learnedVariance } = settings;
  switch (objective) {
    case "flow":
      return new RectifiedFlow({ times: flowTimes });
    case "edm":
      return new EdmProcess();
    default:
      return new NoiseSchedule({
        objective,
        zeroTerminalSnr,
        ...learnedVariance ? { varianceType: "learned_range" } : {},
        ...betas === null
          ? { betaSchedule: schedule, numTrainTimesteps: timesteps }
          : { betaSchedule: "custom", betas, numTrainTimesteps: betas.length },
      });
  }
}

/** Weight of the variational bound in the loss of a run; undefined if it learns no variance. */
export function boundScaleOf(settings: ObjectiveSettings): number | undefined {
  const process = processOf(settings);
  return settings.learnedVariance && process instanceof NoiseSchedule ? boundScale(process) : undefined;
}

/** The loss of a run: its table of noise levels, and the constants of its kernels. */
export interface RunObjective {
  readonly levels: TrainingLevels;
  readonly constants: Pick<BatchOptions, "delta" | "boundScale" | "stratified" | "estimateClip">;
}

/** The loss that a run's settings describe. */
export function objectiveOf(settings: ObjectiveSettings): RunObjective {
  const { weighting, gamma, p2K, loss, huberDelta, learnedVariance, stratified } = settings;
  const process = processOf(settings);
  const tables = objectiveTables(process, { weighting, p2K, ...gamma === null ? {} : { gamma } });
  return {
    levels: learnedVariance && process instanceof NoiseSchedule
      ? { ...tables, variances: learnedVarianceRows(process, tables.weight) }
      : tables,
    constants: {
      delta: loss === "huber" ? huberDelta : undefined,
      boundScale: boundScaleOf(settings),
      estimateClip: process.clip === false ? undefined : process.clip,
      stratified,
    },
  };
}

/** Settings of a run with a given forward process, the inverse of {@linkcode processOf}. */
export function processSettingsOf(process: TrainedProcess): Partial<ObjectiveSettings> {
  if (process instanceof RectifiedFlow) return { objective: process.objective, flowTimes: process.times };
  if (process instanceof EdmProcess) return { objective: process.objective };
  const { config } = process;
  const { betaSchedule, numTrainTimesteps: timesteps, zeroTerminalSnr, varianceType, objective } = config;
  const common = { objective, zeroTerminalSnr, learnedVariance: varianceType === "learned_range" };
  const usualEnds = config.betaStart === defaultSchedule.betaStart &&
    config.betaEnd === defaultSchedule.betaEnd;
  // Settings have no ends of a schedule: with others than the usual ones, the betas are a list.
  if (betaSchedule === "custom" || (SCHEDULES_WITH_ENDS.includes(betaSchedule) && !usualEnds)) {
    return { ...common, betas: [...makeBetas(betaSchedule, config)] };
  }
  return { ...common, schedule: betaSchedule, timesteps };
}

/** Process settings without the schedule of betas. */
export function withoutSchedule(settings: Partial<ObjectiveSettings>): Partial<ObjectiveSettings> {
  const { schedule: _, betas: __, timesteps: ___, zeroTerminalSnr: ____, ...rest } = settings;
  return rest;
}

/** True if any setting of the schedule of betas is given. */
export function givesSchedule(
  { schedule, betas, timesteps, zeroTerminalSnr }: Partial<ObjectiveSettings>,
): boolean {
  return [schedule, betas, timesteps, zeroTerminalSnr].some((value) => value !== undefined);
}

/** Names of the objectives in runs stored as `prediction`, by diffusers' names. */
const STORED_PREDICTIONS: Readonly<Record<string, Objective>> = {
  epsilon: "epsilon",
  v_prediction: "v",
  sample: "x0",
};

/** Settings of a stored run, which an earlier version may have written with `prediction` in place of `objective`. */
export function withObjective<T extends ObjectiveSettings>(
  stored: T & { readonly prediction?: string },
): T {
  const { prediction, ...settings } = stored;
  if (prediction === undefined) return stored;
  return { ...settings, objective: STORED_PREDICTIONS[prediction] ?? prediction } as unknown as T;
}
