/**
 * A run's settings: defaults, checks, reading from a checkpoint, and changes on resume.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { imageChannels, unetConfig, unetConfigToJson } from "../model/config.ts";
import { checkProcessTimes } from "../sampling/network_times.ts";
import { autoPreset, presetConfig, type PresetName } from "../model/presets.ts";
import { checkObjective, processOf, withObjective } from "./objective_settings.ts";
import { recipeSettings } from "./recipes.ts";
import {
  type AdapterTraits,
  checkGiven,
  checkSetting,
  defaultsOf,
  forEachPreset,
  hasPresets,
  pickGiven,
  type Setting,
} from "./setting.ts";
import {
  AUTO_SOFTWARE_LIMIT,
  NETWORK_SETTINGS,
  type SettingsOptions,
  TRAINING_SETTINGS,
  type TrainingOptions,
  type TrainSettings,
} from "./settings_table.ts";

export { AUTO_SOFTWARE_LIMIT, type SettingsOptions, type TrainSettings } from "./settings_table.ts";

/** Settings whose defaults differ between presets. */
export type PresetDefaults = Pick<TrainSettings, "batch" | "lr" | "warmup" | "ema" | "epochs">;

/** Defaults of each preset: batch, learning rate, warm-up, EMA decay and epochs. */
export const PRESET_DEFAULTS: Readonly<Record<PresetName, PresetDefaults>> = forEachPreset((preset) => {
  const adapter = { software: false, features: [] };
  const { batch, lr, warmup, ema, epochs } = defaultsOf(TRAINING_SETTINGS, { preset, adapter });
  return { batch, lr, warmup, ema, epochs };
});

/** Shape of the data, which the network must match. */
export interface DataShape {
  readonly height: number;
  readonly width: number;
  /** Values of a pixel. */
  readonly channels: 1 | 3;
  readonly classes: number;
}

/**
 * Fills in defaults and checks every setting.
 * @throws {ConfigError} naming the first setting that is out of range
 */
export function resolveSettings(
  options: SettingsOptions,
  adapter: AdapterTraits,
  data: DataShape,
): TrainSettings {
  const { software } = adapter;
  const { preset: requested = "auto", model, conditional = true, dropout, ...rest } = options;
  // Dropout is checked with the rest of the network.
  checkGiven(NETWORK_SETTINGS, { preset: requested, model, conditional });
  const { recipe = "none" } = rest;
  checkSetting("recipe", TRAINING_SETTINGS.recipe, recipe);
  const preset = requested === "auto" ? autoPreset(software, [data.height, data.width]) : requested;
  const classes = conditional ? data.classes : 0;
  const channels = model ? imageChannels(model) : data.channels;
  const selfConditioning = rest.selfConditioning ?? model?.selfConditioning ?? false;
  const overrides = {
    ...{ selfConditioning, inChannels: selfConditioning ? 2 * channels : channels },
    numClassEmbeds: classes > 0 ? classes + 1 : null,
    ...(dropout === undefined ? {} : { dropout }),
    ...(rest.learnedVariance ? { outChannels: 2 * channels } : {}),
  };
  const network = model ? unetConfig({ ...model, ...overrides }) : presetConfig(preset, classes, {
    outChannels: channels,
    sampleSize: data.height === data.width ? data.height : [data.height, data.width],
    ...overrides,
  });
  const limited = requested === "auto" && software && !model;
  const settings: TrainSettings = {
    preset: model ? "custom" : preset,
    model: network,
    ...defaultsOf(TRAINING_SETTINGS, { preset, adapter }),
    ...(limited ? { limit: AUTO_SOFTWARE_LIMIT } : {}),
    ...recipeSettings(recipe, preset, rest),
    ...pickGiven(TRAINING_SETTINGS, rest),
    selfConditioning,
  };
  checkSettings(settings);
  return settings;
}

/**
 * Checks every setting of a run; of the network, only that it fits the process.
 * @throws {ConfigError} naming the first that is not allowed
 */
function checkSettings(settings: TrainSettings): void {
  for (const [name, setting] of Object.entries<Setting>(TRAINING_SETTINGS)) {
    checkSetting(name, setting, settings[name as keyof TrainingOptions]);
  }
  checkObjective(settings);
  checkProcessTimes(settings.model, processOf(settings));
  const { emaProfiles } = settings;
  if (!emaProfiles && settings.snapshotEvery !== null) {
    throw new ConfigError("snapshotEvery", settings.snapshotEvery, "null without `emaProfiles`");
  }
  if (emaProfiles && new Set(emaProfiles).size < emaProfiles.length) {
    throw new ConfigError("emaProfiles", emaProfiles, "widths that differ from each other");
  }
  if (settings.epochs === null && settings.steps === null) {
    throw new ConfigError("epochs", null, "a whole number where `steps` is null: a run must end");
  }
}

/** Stands for null in checkpoints of versions whose runs by `steps` needed a number of epochs. */
const OPEN_EPOCHS = 1_000_000;

/**
 * Reads the settings in a checkpoint, which an earlier version may have written. A setting that did not exist then gets its
 * default or {@linkcode Setting.before}, which is the earlier behaviour.
 *
 * @throws {ConfigError} naming the first that is not allowed
 */
export function readStoredSettings(stored: TrainSettings): TrainSettings {
  const settings = {
    ...STORED_DEFAULTS,
    ...withObjective(stored),
    // Runs of the former float16 continue as mixed.
    ...(stored.precision as string) === "float16" ? { precision: "mixed" as const } : {},
    epochs: stored.epochs === OPEN_EPOCHS && stored.steps !== null ? null : stored.epochs,
  };
  checkSettings(settings);
  return settings;
}

/** Values of settings that a stored run may lack: those of all runs before the setting existed. */
const STORED_DEFAULTS: TrainingOptions = Object.fromEntries(
  Object.entries<Setting>(TRAINING_SETTINGS)
    .filter(([, { default: value, before }]) => before !== undefined || !hasPresets(value))
    .map(([name, { default: value, before }]) => [name, before ?? value]),
);

/**
 * Settings of a resumed run: the stored ones, with the changes that are allowed.
 *
 * @param given settings given explicitly
 * @throws {ConfigError} naming one that cannot change
 */
export function resumeSettings(stored: TrainSettings, given: SettingsOptions): TrainSettings {
  const { preset, model, conditional, dropout, ...rest } = given;
  const compare = (field: string, value: unknown, before: unknown) => {
    if (value === undefined || JSON.stringify(value) === JSON.stringify(before)) return;
    const was = field === "model"
      ? "the network"
      : Array.isArray(before)
      ? `the ${before.length} numbers`
      : JSON.stringify(before);
    throw new ConfigError(
      field,
      field === "model" ? "a different one" : value,
      `${was}, with which this run was started (it cannot change on resume)`,
    );
  };
  const changes = pickGiven(TRAINING_SETTINGS, rest);
  for (const [name, value] of Object.entries(changes) as [keyof TrainingOptions, unknown][]) {
    if (!TRAINING_SETTINGS[name].resumable) compare(name, value, stored[name]);
  }
  // `auto` accepts the stored preset, and with `model` a preset only chooses defaults.
  if (preset !== "auto" && !model) compare("preset", preset, stored.preset);
  compare("conditional", conditional, stored.model.numClassEmbeds !== null);
  compare("dropout", dropout, stored.model.dropout);
  if (model) {
    const { numClassEmbeds, outChannels, inChannels, selfConditioning } = stored.model;
    const overrides = {
      numClassEmbeds,
      ...(stored.selfConditioning ? { inChannels, selfConditioning } : {}),
      ...(dropout === undefined ? {} : { dropout }),
      ...(stored.learnedVariance ? { outChannels } : {}),
    };
    const requested = unetConfig({ ...model, ...overrides });
    compare("model", unetConfigToJson(requested), unetConfigToJson(stored.model));
  }
  const settings = { ...stored, ...changes };
  checkSettings(settings);
  return settings;
}
