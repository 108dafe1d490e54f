/**
 * The settings of a training run: what may be given, what the defaults are, and what is allowed.
 *
 * @module
 */
import type { PredictionType, ScheduleConfig } from "../diffusion/schedule.ts";
import { ConfigError } from "../errors.ts";
import { type UNetConfig, unetConfig, unetConfigToJson } from "../model/config.ts";
import { type Precision, PRECISIONS } from "../model/precision.ts";
import { presetConfig, type PresetName, PRESETS } from "../model/presets.ts";

/** Everything that decides what a run computes; stored in its checkpoints. */
export interface TrainSettings {
  /** The network. */
  readonly preset: PresetName | "custom";
  /** The network, as diffusers' `UNet2DModel` is configured. */
  readonly model: UNetConfig;
  /** What the network predicts: the noise, v, or the image. */
  readonly prediction: PredictionType;
  /** Training images used, chosen by seed, classes in proportion; null for all. Validation shrinks alike. */
  readonly limit: number | null;
  /** Passes over the training images. */
  readonly epochs: number;
  /** Optimizer steps after which to stop, if that comes before the last epoch's end; null for no such limit. */
  readonly steps: number | null;
  /** Images a micro-batch. */
  readonly batch: number;
  /** Micro-batches whose gradients are summed for one optimizer step. */
  readonly accumulate: number;
  /** AdamW's learning rate after warm-up. */
  readonly lr: number;
  /** Optimizer steps over which the learning rate rises linearly to `lr`. */
  readonly warmup: number;
  /** Decay of Adam's first moment, in [0, 1) (Kingma & Ba 2015, algorithm 1). */
  readonly beta1: number;
  /** Decay of Adam's second moment, in [0, 1). */
  readonly beta2: number;
  /** Added to the root of Adam's second moment, above 0. */
  readonly eps: number;
  /** Decoupled weight decay (Loshchilov & Hutter 2019), 0 or above. */
  readonly weightDecay: number;
  /** Largest decay of the weights' moving average; step t uses min(ema, (1 + t) / (10 + t)). */
  readonly ema: number;
  /** Global gradient norm above which gradients are scaled down; 0 for never. */
  readonly clip: number;
  /** Probability of training a sample without its class, for classifier-free guidance. */
  readonly labelDropout: number;
  /** Mirror training images with probability 1/2. */
  readonly flip: boolean;
  /** Decides the split, initial weights, data order, timesteps, noise and masks. */
  readonly seed: number;
  /** What to do when loss or gradients are not finite: stop, or leave that step out. */
  readonly onNonFinite: "stop" | "skip";
  /**
   * Keep less for the backward pass and compute it again there (Chen et al. 2016): less memory, about a tenth more time,
   * the same bits.
   */
  readonly checkpointActivations: boolean;
  /**
   * How activations lie in memory: `float16` takes half as much of it and of the time to move them, on adapters with
   * `shader-f16`. Weights stay float32, and the loss is scaled (Micikevicius et al. 2018).
   */
  readonly precision: Precision;
}

/** Settings as a caller gives them; everything has a default. */
export interface SettingsOptions extends Partial<Omit<TrainSettings, "preset" | "model" | "limit">> {
  /** `auto` takes `small` on a GPU and `tiny` on a software adapter. */
  readonly preset?: PresetName | "auto";
  /** A network of one's own, instead of a preset. `numClassEmbeds` and `dropout` follow the other settings. */
  readonly model?: UNetConfig;
  /** Training images to use, 1 or more; null for all. */
  readonly limit?: number | null;
  /** False for a network that knows no classes. */
  readonly conditional?: boolean;
  /** Dropout rate inside the residual blocks; default the preset's. */
  readonly dropout?: number;
}

/** Defaults that differ between presets; the rest are the same for all. */
export type PresetDefaults = Pick<TrainSettings, "batch" | "lr" | "warmup" | "ema" | "epochs">;

/** Per preset: batch, rate, warm-up, moving average and epochs (of `ddpm`: Ho et al. 2020, appendix B). */
export const PRESET_DEFAULTS: Readonly<Record<PresetName, PresetDefaults>> = {
  tiny: { batch: 32, lr: 1e-3, warmup: 100, ema: 0.999, epochs: 5 },
  small: { batch: 128, lr: 2e-4, warmup: 1000, ema: 0.9999, epochs: 100 },
  ddpm: { batch: 128, lr: 2e-4, warmup: 5000, ema: 0.9999, epochs: 2000 },
};

/** Training images that `auto` takes on a software adapter, so that a first run ends in minutes. */
export const AUTO_SOFTWARE_LIMIT = 5000;

const COMMON = {
  prediction: "epsilon",
  steps: null,
  accumulate: 1,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0,
  clip: 1,
  labelDropout: 0.1,
  flip: true,
  seed: 0,
  onNonFinite: "stop",
  checkpointActivations: false,
  precision: "float32",
} as const;

/** The data a run's network must fit. */
export interface DataShape {
  readonly height: number;
  readonly width: number;
  readonly classes: number;
}

/** What a number may be. */
export interface Range {
  readonly min: number;
  readonly max: number;
  /** Whole numbers only. */
  readonly whole?: true;
  /** `min` itself is not allowed. */
  readonly aboveMin?: true;
  /** `max` itself is not allowed. */
  readonly belowMax?: true;
}

type OtherSetting =
  | "preset"
  | "model"
  | "conditional"
  | "prediction"
  | "flip"
  | "onNonFinite"
  | "checkpointActivations"
  | "precision";
/** A setting that is a number. */
export type NumericSetting = Exclude<keyof SettingsOptions, OtherSetting>;

/** What each setting that is a number may be; `null` besides, where the setting has that. */
export const RANGES: Readonly<Record<NumericSetting, Range>> = {
  limit: { min: 1, max: 1e9, whole: true },
  epochs: { min: 1, max: 1e6, whole: true },
  steps: { min: 1, max: 1e9, whole: true },
  batch: { min: 1, max: 65_535, whole: true },
  accumulate: { min: 1, max: 4096, whole: true },
  lr: { min: 0, max: 1, aboveMin: true },
  warmup: { min: 0, max: 1e9, whole: true },
  beta1: { min: 0, max: 1, belowMax: true },
  beta2: { min: 0, max: 1, belowMax: true },
  eps: { min: 0, max: 1, aboveMin: true },
  weightDecay: { min: 0, max: 1 },
  ema: { min: 0, max: 1, belowMax: true },
  /** 0 for never. */
  clip: { min: 0, max: 1e9 },
  labelDropout: { min: 0, max: 1 },
  /** Of the network, which checks it. */
  dropout: { min: 0, max: 1, belowMax: true },
  seed: { min: 0, max: Number.MAX_SAFE_INTEGER, whole: true },
};

/** Whether a value is a number in a range. */
function inRange(value: unknown, { min, max, whole, aboveMin, belowMax }: Range): boolean {
  if (typeof value !== "number" || !(value >= min && value <= max)) return false;
  if (whole && !Number.isSafeInteger(value)) return false;
  return !(aboveMin && value === min) && !(belowMax && value === max);
}

/** A range in words, e.g. `a whole number from 1 to 4096`. */
function describeRange({ min, max, whole, aboveMin, belowMax }: Range): string {
  const from = aboveMin ? `above ${min} and` : `from ${min}`;
  const to = belowMax ? `to below ${max}` : aboveMin ? `at most ${max}` : `to ${max}`;
  return `a ${whole ? "whole " : ""}number ${from} ${to}`;
}

/**
 * Fills in defaults and checks every setting.
 *
 * @param software whether a CPU executes the shaders
 * @throws {ConfigError} naming the first setting that is out of range
 */
export function resolveSettings(options: SettingsOptions, software: boolean, data: DataShape): TrainSettings {
  const { preset: asked = "auto", model, conditional = true, dropout, limit, ...rest } = options;
  checkBoolean("conditional", conditional);
  if (asked !== "auto" && !PRESETS.includes(asked)) {
    throw new ConfigError("preset", asked, `auto, ${PRESETS.slice(0, -1).join(", ")} or ${PRESETS.at(-1)}`);
  }
  const preset = asked === "auto" ? (software ? "tiny" : "small") : asked;
  const classes = conditional ? data.classes : 0;
  const overrides = {
    numClassEmbeds: classes > 0 ? classes + 1 : null,
    ...(dropout === undefined ? {} : { dropout }),
  };
  const network = model ? unetConfig({ ...model, ...overrides }) : presetConfig(preset, classes, {
    sampleSize: data.height === data.width ? data.height : [data.height, data.width],
    ...overrides,
  });
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  const auto = asked === "auto" && software && !model;
  const settings: TrainSettings = {
    preset: model ? "custom" : preset,
    model: network,
    ...COMMON,
    ...PRESET_DEFAULTS[preset],
    limit: limit === undefined ? (auto ? AUTO_SOFTWARE_LIMIT : null) : limit,
    ...given,
  };
  checkSettings(settings);
  return settings;
}

/**
 * Checks every setting of a run but the network.
 * @throws {ConfigError} naming the first that is not allowed
 */
export function checkSettings(settings: TrainSettings): void {
  const { dropout: _ofTheNetwork, ...ranges } = RANGES;
  for (const [field, range] of Object.entries(ranges)) {
    const value = settings[field as keyof typeof ranges];
    if (value === null && (field === "steps" || field === "limit")) continue;
    if (!inRange(value, range)) throw new ConfigError(field, value, describeRange(range));
  }
  checkBoolean("flip", settings.flip);
  checkBoolean("checkpointActivations", settings.checkpointActivations);
  if (settings.onNonFinite !== "stop" && settings.onNonFinite !== "skip") {
    throw new ConfigError("onNonFinite", settings.onNonFinite, "stop or skip");
  }
  if (!PRECISIONS.includes(settings.precision)) {
    throw new ConfigError("precision", settings.precision, PRECISIONS.join(" or "));
  }
  if (!["epsilon", "v_prediction", "sample"].includes(settings.prediction)) {
    throw new ConfigError("prediction", settings.prediction, "epsilon, v_prediction or sample");
  }
}

/** The noise schedule of a run: the reference model's, with the run's prediction type. */
export function scheduleOf(settings: Pick<TrainSettings, "prediction">): Partial<ScheduleConfig> {
  return { predictionType: settings.prediction };
}

/** Settings that a resumed run may be given anew; the others would make it another run. */
const RESUMABLE: readonly (keyof TrainSettings)[] = [
  "epochs",
  "steps",
  "onNonFinite",
  "checkpointActivations",
  "precision",
];

/**
 * The settings with which a run goes on: the stored ones, with what may change.
 *
 * @param given the settings that were given explicitly
 * @throws {ConfigError} naming one that differs and may not
 */
export function resumeSettings(stored: TrainSettings, given: SettingsOptions): TrainSettings {
  const { preset, model, conditional, dropout, ...rest } = given;
  const changes: Record<string, unknown> = {};
  const compare = (field: string, value: unknown, before: unknown) => {
    if (value === undefined || JSON.stringify(value) === JSON.stringify(before)) return;
    const was = field === "model" ? "the network" : JSON.stringify(before);
    throw new ConfigError(
      field,
      field === "model" ? "another one" : value,
      `${was} with which this run was started (it cannot change on resume)`,
    );
  };
  for (const [key, value] of Object.entries(rest)) {
    if ((RESUMABLE as readonly string[]).includes(key)) {
      if (value !== undefined) changes[key] = value;
    } else compare(key, value, stored[key as keyof TrainSettings]);
  }
  // `auto` leaves the choice to the run, and beside a network a preset stands for defaults alone.
  if (preset !== "auto" && !model) compare("preset", preset, stored.preset);
  compare("conditional", conditional, stored.model.numClassEmbeds !== null);
  compare("dropout", dropout, stored.model.dropout);
  if (model) {
    const followers = dropout === undefined ? {} : { dropout };
    const asked = unetConfig({ ...model, numClassEmbeds: stored.model.numClassEmbeds, ...followers });
    compare("model", unetConfigToJson(asked), unetConfigToJson(stored.model));
  }
  const settings = { ...stored, ...changes };
  checkSettings(settings);
  return settings;
}

/** Names of all settings. */
export const SETTINGS: readonly string[] = [
  ...new Set(["preset", "model", "conditional", ...Object.keys(RANGES), ...Object.keys(COMMON)]),
];

/**
 * Checks a setting that is true or false.
 * @throws {ConfigError} for anything else: "no" would be true
 */
export function checkBoolean(field: string, value: unknown): void {
  if (typeof value !== "boolean") throw new ConfigError(field, value, "true or false");
}
