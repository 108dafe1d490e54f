import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { PRESETS } from "../../lib/model/presets.ts";
import { asFlags, describeRecipe, RECIPES, recipeSettings } from "../../lib/train/recipes.ts";
import { TRAINING_SETTINGS } from "../../lib/train/settings_table.ts";
import { resolveSettings, resumeSettings, type SettingsOptions } from "../../lib/train/settings.ts";
import { PLAIN_GPU } from "../support/adapters.ts";

const CIFAR = { height: 32, width: 32, channels: 3, classes: 10 } as const;

function resolve(options: SettingsOptions) {
  return resolveSettings(options, PLAIN_GPU, CIFAR);
}

Deno.test("a recipe replaces the preset's defaults, and a setting that is given replaces the recipe's", () => {
  for (const preset of PRESETS) {
    const plain = resolve({ preset });
    assert.equal(plain.recipe, "none");
    const best = resolve({ preset, recipe: "best" });
    const settings = recipeSettings("best", preset, {});
    assert.deepEqual(best, { ...plain, ...settings, recipe: "best" });
    assert.ok(Object.keys(settings).length > 0);
    for (const [name, value] of Object.entries(settings)) {
      assert.notDeepEqual(plain[name as keyof typeof plain], value, `${name} is the default anyway`);
      assert.ok(describeRecipe("best").includes(String(value)));
    }
  }
  const own = resolve({ preset: "tiny", recipe: "best", lr: 0.5, flowTimes: "uniform" });
  assert.deepEqual([own.lr, own.objective, own.flowTimes, own.recipe], [0.5, "flow", "uniform", "best"]);
  assert.equal(describeRecipe("best"), "--objective flow --flow-times logit-normal");
});

Deno.test("settings as flags are those that the command line takes", () => {
  assert.equal(
    asFlags({ objective: "v", zeroTerminalSnr: true, p2K: 2 }),
    "--objective v --zero-terminal-snr --p2-k 2",
  );
  assert.equal(asFlags({}), "");
});

Deno.test("another objective leaves out the settings of the recipe's", () => {
  for (const objective of TRAINING_SETTINGS.objective.choices) {
    const settings = resolve({ preset: "tiny", recipe: "best", objective });
    if (objective === recipeSettings("best", "tiny", {}).objective) continue;
    assert.deepEqual(settings, { ...resolve({ preset: "tiny", objective }), recipe: "best" });
  }
});

Deno.test("an unknown recipe is refused with the nearest name, and a resumed run keeps its own", () => {
  assert.throws(
    () => resolve({ recipe: "bestt" as "best" }),
    (error: Error) =>
      error instanceof ConfigError &&
      /^recipe: expected none or best \(did you mean best\?\), got "bestt"/.test(error.message),
  );
  const stored = resolve({ preset: "tiny", recipe: "best", lr: 0.5 });
  assert.deepEqual(resumeSettings(stored, {}), stored);
  assert.deepEqual(resumeSettings(stored, { recipe: "best" }), stored);
  assert.throws(
    () => resumeSettings(stored, { recipe: "none" }),
    /^ConfigError: recipe: expected "best", with which this run was started/,
  );
  assert.deepEqual(RECIPES, TRAINING_SETTINGS.recipe.choices);
});
