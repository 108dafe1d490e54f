/**
 * Configuration of a noise schedule: types, defaults and checks.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { BETA_SCHEDULES, type BetaParameters, type BetaSchedule } from "./betas.ts";

/**
 * Variance of a DDPM step: that of `q(x_{t-1} | x_t, x_0)`, or the larger `beta_t` (Ho et al. 2020, section 3.2), or between
 * the two as the network says (`learned_range`; Nichol and Dhariwal 2021, equation 15).
 */
export type VarianceType = "fixed_small" | "fixed_large" | "learned_range";
/** Training target of a network with a schedule of betas: the noise, `v` (Salimans and Ho 2022), or the image. */
export type ScheduleObjective = "epsilon" | "v" | "x0";
/** Spacing of the timesteps when sampling in fewer than `T` steps (Lin et al. 2024, table 2). */
export type TimestepSpacing = "leading" | "trailing" | "linspace";

/** Largest number of timesteps of a schedule. */
export const MAX_TIMESTEPS = 100_000;

/** Configuration of a noise schedule and of sampling from it. */
export interface ScheduleConfig extends BetaParameters {
  /** Number of timesteps `T` of the forward process, 2 to {@linkcode MAX_TIMESTEPS}. */
  readonly numTrainTimesteps: number;
  /** `beta` of the first timestep, above 0; used by `linear`, `scaled-linear` and `sigmoid`. */
  readonly betaStart: number;
  /** `beta` of the last timestep, from `betaStart` to below 1; used by the same. */
  readonly betaEnd: number;
  /** Growth of `beta` in between. */
  readonly betaSchedule: BetaSchedule;
  /** The betas of the schedule `custom`, `numTrainTimesteps` numbers above 0 and below 1; else null. */
  readonly betas: readonly number[] | null;
  /**
   * Rescale the betas so that nothing is left of the image at the last timestep (Lin et al. 2024, arXiv 2305.08891, algorithm
   * 1). Not with objective `epsilon`: the noise in pure noise says nothing of the image.
   */
  readonly zeroTerminalSnr: boolean;
  /** Variance of the noise that a DDPM step adds. */
  readonly varianceType: VarianceType;
  /** Clip the estimate of `x_0` when sampling. */
  readonly clipSample: boolean;
  /** The estimate is clipped to `[-clipSampleRange, clipSampleRange]`; above 0. */
  readonly clipSampleRange: number;
  /** Training target of the network. */
  readonly objective: ScheduleObjective;
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
  betas: null,
  zeroTerminalSnr: false,
  varianceType: "fixed_large",
  clipSample: true,
  clipSampleRange: 1,
  objective: "epsilon",
  timestepSpacing: "leading",
  stepsOffset: 0,
  setAlphaToOne: true,
});

/** Allowed values of a field. */
export interface ScheduleRule {
  readonly allowed: string;
  readonly accepts: (value: unknown, config: ScheduleConfig) => boolean;
}

/** Rules of all fields. */
export const SCHEDULE_RULES: { readonly [K in keyof ScheduleConfig]: ScheduleRule } = {
  numTrainTimesteps: {
    allowed: `an integer from 2 to ${MAX_TIMESTEPS}`,
    accepts: (value) => isInteger(value, 2, MAX_TIMESTEPS),
  },
  betaStart: {
    allowed: "a number above 0 and below 1",
    accepts: (value) => isNumber(value) && value > 0 && value < 1,
  },
  betaEnd: {
    allowed: "a number from the first beta to below 1",
    accepts: (value, config) => isNumber(value) && value >= config.betaStart && value < 1,
  },
  betaSchedule: choice(BETA_SCHEDULES),
  betas: {
    allowed:
      "a list of numbers above 0 and below 1, one per timestep, with the schedule custom, and none with others",
    accepts: (value, config) =>
      config.betaSchedule !== "custom"
        ? value === null
        : Array.isArray(value) && value.length === config.numTrainTimesteps &&
          value.every((beta) => isNumber(beta) && beta > 0 && beta < 1),
  },
  zeroTerminalSnr: {
    allowed:
      "true or false; true not where the noise is predicted, which in pure noise says nothing of the image",
    accepts: (value, config) => value === false || (value === true && config.objective !== "epsilon"),
  },
  varianceType: choice(["fixed_small", "fixed_large", "learned_range"]),
  clipSample: choice([true, false]),
  clipSampleRange: {
    allowed: "a number above 0",
    accepts: (value) => isNumber(value) && value > 0,
  },
  objective: choice(["epsilon", "v", "x0"]),
  timestepSpacing: choice(["leading", "trailing", "linspace"]),
  stepsOffset: {
    allowed: "an integer from 0 to the number of timesteps - 1",
    accepts: (value, config) => isInteger(value, 0, config.numTrainTimesteps - 1),
  },
  setAlphaToOne: choice([true, false]),
};

/** Names of all fields. */
export const SCHEDULE_FIELDS: readonly (keyof ScheduleConfig)[] = Object.keys(
  SCHEDULE_RULES,
) as (keyof ScheduleConfig)[];

/**
 * Checks every field of a configuration.
 *
 * @throws {ConfigError} naming the field and its allowed values
 */
export function checkSchedule(config: ScheduleConfig): void {
  for (const name of Object.keys(config)) {
    if (!Object.hasOwn(SCHEDULE_RULES, name)) {
      throw new ConfigError(name, "a value", `one of the fields ${SCHEDULE_FIELDS.join(", ")}`);
    }
  }
  for (const name of SCHEDULE_FIELDS) {
    const { accepts, allowed } = SCHEDULE_RULES[name];
    if (!accepts(config[name], config)) throw new ConfigError(name, config[name], allowed);
  }
}

function choice(values: readonly unknown[]): ScheduleRule {
  return {
    allowed: values.map((value) => JSON.stringify(value)).join(" or "),
    accepts: (value) => values.includes(value),
  };
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isInteger(value: unknown, from: number, to: number): boolean {
  return isNumber(value) && Number.isInteger(value) && value >= from && value <= to;
}
