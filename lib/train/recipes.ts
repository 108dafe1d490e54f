/**
 * Recipes: settings that the project recommends, by preset. `docs/quality.md` has the comparisons behind them.
 *
 * @module
 */
import type { PresetName } from "../model/presets.ts";
import type { ObjectiveSettings } from "./objective_settings.ts";
import type { OptimizerSettings } from "./optimizer_settings.ts";
import { forEachPreset, usualFlag } from "./setting.ts";

/** Name of a recipe. */
export type RecipeName = "none" | "best";

/** Names of all recipes. */
export const RECIPES: readonly RecipeName[] = ["none", "best"];

/** Settings of a recipe; the network stays the preset's. */
export type RecipeSettings = Partial<Omit<ObjectiveSettings, "learnedVariance"> & OptimizerSettings>;

/** The objective that came out best for `tiny` over 2,000 steps of 32 images; larger presets were not compared. */
const BEST_OBJECTIVE: RecipeSettings = { objective: "flow", flowTimes: "logit-normal" };

const SETTINGS: Readonly<Record<RecipeName, Readonly<Record<PresetName, RecipeSettings>>>> = {
  none: forEachPreset(() => ({})),
  best: forEachPreset(() => BEST_OBJECTIVE),
};

/** Settings that belong to an objective. */
const OF_OBJECTIVE: readonly (keyof ObjectiveSettings)[] = [
  "objective",
  "flowTimes",
  "schedule",
  "timesteps",
  "zeroTerminalSnr",
  "weighting",
  "gamma",
  "p2K",
];

/**
 * Settings of a recipe for a preset, which replace the preset's defaults. Settings of its objective are left out where another
 * objective is given.
 *
 * @param given settings given beside it, which replace the recipe's
 */
export function recipeSettings(
  recipe: RecipeName,
  preset: PresetName,
  { objective }: Pick<Partial<ObjectiveSettings>, "objective">,
): RecipeSettings {
  const settings = SETTINGS[recipe][preset];
  if (objective === undefined || objective === settings.objective) return settings;
  const left: readonly string[] = OF_OBJECTIVE;
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !left.includes(name)));
}

/** Settings as flags of `deno task train`: `--objective flow --stratified`. */
export function asFlags(settings: Readonly<Record<string, unknown>>): string {
  return Object.entries(settings)
    .map(([name, value]) => value === true ? usualFlag(name) : `${usualFlag(name)} ${value}`)
    .join(" ");
}

/** A recipe's settings as flags, for help: `--objective v --schedule cosine`. */
export function describeRecipe(recipe: RecipeName): string {
  const ofPresets = Object.entries(SETTINGS[recipe])
    .map(([preset, settings]) => [preset, asFlags(settings)] as const);
  const [[, first] = ["", ""]] = ofPresets;
  if (ofPresets.every(([, words]) => words === first)) return first;
  return ofPresets.map(([preset, words]) => `${preset}: ${words || "the defaults"}`).join("; ");
}
