/**
 * Flags that the tasks which draw images have in common: model, sampler, guidance and device.
 *
 * @module
 */
import {
  type GenerateOptions,
  type SamplerName,
  samplerNames,
  type SigmaInterval,
  type SpacingName,
  spacingNames,
  variances,
  type VarianceType,
} from "../mod.ts";
import { MOST_CHURN_NOISE } from "../lib/diffusion/samplers/edm.ts";
import { MAX_TIMESTEPS } from "../lib/diffusion/schedule.ts";
import type { Backend } from "../lib/gpu/backend.ts";
import { type Precision, PRECISION_HELP } from "../lib/model/precision.ts";
import { INTERVAL_WORDS, parseInterval } from "../lib/sampling/guidance_interval.ts";
import { DEFAULT_SAMPLER, DEFAULT_STEPS } from "../lib/sampling/request.ts";
import { TUNE_HELP, type TuneMode } from "../lib/tuning/tuning.ts";
import { BACKEND_HELP, BACKEND_OPTIONS } from "../terminal/backend.ts";
import type { FlagNames, TaskCommand } from "../terminal/cli.ts";
import { checked, integer, listSchema, number, oneOf, text, type Value } from "../terminal/values.ts";
import { PRECISION_OPTIONS } from "../terminal/precision.ts";
import { TUNE_OPTIONS } from "../terminal/tuning.ts";
import { GUIDE_HELP, MODEL_DEFAULT, MODEL_HELP, modelPath, VARIANT_DEFAULT, VARIANT_HELP } from "./runs.ts";

/** Interval of noise levels; in a settings file `[0.2, 2]` or `[0.2, "inf"]`. */
const INTERVAL: Value<SigmaInterval> = checked(INTERVAL_WORDS, parseInterval, {
  schema: listSchema({ anyOf: [{ type: "number", minimum: 0 }, { type: "string", enum: ["inf"] }] }, 2, 2),
  toJson: (interval) => interval.map((sigma) => sigma === Infinity ? "inf" : sigma),
});

/** Values of the flags of {@linkcode addModelFlags}. */
export interface ModelFlags {
  readonly model?: string;
  readonly variant?: string;
}

/** Values of the flags of {@linkcode addSamplerFlags}. */
export interface SamplerFlags {
  readonly steps?: number;
  readonly sampler?: SamplerName;
  readonly spacing?: SpacingName;
  readonly eta?: number;
  readonly variance?: VarianceType;
  readonly churn?: number;
  readonly churnRange?: SigmaInterval;
  readonly churnNoise?: number;
  readonly guidance?: number;
  readonly guidanceRescale?: number;
  readonly guidanceInterval?: SigmaInterval;
  readonly guide?: string;
  readonly negativeClass?: string;
}

/** Values of the flags of {@linkcode addDeviceFlags}. */
export interface DeviceFlags {
  readonly backend?: Backend;
  readonly precision?: Precision;
  readonly tune?: TuneMode;
}

/** Adds `--model` and `--variant`. */
export function addModelFlags(command: TaskCommand): TaskCommand {
  return command
    .flag("--model <PATH>", MODEL_HELP, {
      value: modelPath(),
      defaultText: MODEL_DEFAULT,
    })
    .flag("--variant <NAME>", VARIANT_HELP, {
      value: text(),
      defaultText: VARIANT_DEFAULT,
    });
}

/** Adds the flags of the sampler and of guidance. */
export function addSamplerFlags(command: TaskCommand): TaskCommand {
  const sampling = command
    .flag("--steps <N>", "steps of the sampler; heun and edm evaluate the network twice a step", {
      value: integer(1, MAX_TIMESTEPS),
      unit: "steps",
      defaultText: `${DEFAULT_STEPS} evaluations; with --sampler ddpm all of the model's timesteps`,
    })
    .flag("--sampler <NAME>", "sampling method", {
      value: oneOf(samplerNames),
      defaultText: `${DEFAULT_SAMPLER}, or what the model's scheduler configuration names`,
    })
    .flag("--spacing <NAME>", "spacing of the noise levels", {
      value: oneOf(spacingNames),
      defaultText: "that of the sampler and the model",
    })
    .flag("--eta <F>", "noise added by DDIM: 0 for none, 1 for as much as DDPM", {
      value: number(0, 1),
      defaultText: "0",
    })
    .flag("--variance <TYPE>", "variance of the noise that DDPM adds", {
      value: oneOf(variances),
      defaultText: "as the model's configuration says",
    })
    .flag("--churn <F>", "noise that the edm sampler adds back over all steps (S_churn)", {
      value: number(0),
      defaultText: "0",
    })
    .flag(
      "--churn-range <LOW,HIGH>",
      "noise levels at which it is added, as ratios of noise to signal (S_tmin, S_tmax)",
      {
        value: INTERVAL,
        defaultText: "all, 0,inf",
      },
    )
    .flag("--churn-noise <F>", "standard deviation of that noise (S_noise)", {
      value: number(0, MOST_CHURN_NOISE),
      defaultText: "1",
    });
  return addGuidanceFlags(sampling, "2; 1 without a class, or for a model not trained for guidance")
    .flag("--guide <PATH>", GUIDE_HELP, { value: modelPath(), defaultText: "none" })
    .flag("--negative-class <NAME>", "class that guidance leads away from, by name or number", {
      value: text(),
      defaultText: "none, no class",
    });
}

/** Adds the flags of guidance: scale, rescaling and interval. */
export function addGuidanceFlags(command: TaskCommand, scaleDefault: string): TaskCommand {
  return command
    .flag("--guidance <F>", "scale of classifier-free guidance, 1 for none", {
      value: number(0, 100),
      defaultText: scaleDefault,
    })
    .flag(
      "--guidance-rescale <F>",
      "part of the guided output whose contrast is scaled back to that without guidance; 0.7 suits high scales",
      { value: number(0, 1), defaultText: "0" },
    )
    .flag(
      "--guidance-interval <LOW,HIGH>",
      "noise levels with guidance, as ratios of noise to signal; other steps take one evaluation",
      { value: INTERVAL, defaultText: "all, 0,inf" },
    );
}

/** Adds `--backend`, `--precision` and `--tune`. */
export function addDeviceFlags(command: TaskCommand): TaskCommand {
  return command
    .flag("--backend <NAME>", BACKEND_HELP, BACKEND_OPTIONS)
    .flag("--precision <TYPE>", PRECISION_HELP, PRECISION_OPTIONS)
    .flag(
      "--tune <WHEN>",
      `${TUNE_HELP}; variants round differently, so images are bit-identical only with the same choices`,
      TUNE_OPTIONS,
    );
}

/** The options of `generate` among the flags. */
export function samplerOptions(flags: SamplerFlags): GenerateOptions {
  const { steps, sampler, spacing, eta, variance, churn, churnRange, churnNoise } = flags;
  const { guidance, guidanceRescale, guidanceInterval, negativeClass } = flags;
  return {
    ...{ steps, sampler, spacing, eta, variance, churn, churnRange, churnNoise },
    ...{ guidance, guidanceRescale, guidanceInterval, negativeClass },
  };
}

const SAME_NAME = [
  "variant",
  "steps",
  "sampler",
  "spacing",
  "eta",
  "variance",
  "churn",
  "guidance",
  "precision",
];

/** Flags by the names of the options they set. */
export const SAMPLING_FLAG_OF: FlagNames = {
  ...Object.fromEntries(SAME_NAME.map((name) => [name, `--${name}`])),
  churnRange: "--churn-range",
  churnNoise: "--churn-noise",
  negativeClass: "--negative-class",
  guide: "--guide",
  guidanceRescale: "--guidance-rescale",
  guidanceInterval: "--guidance-interval",
};
