/**
 * Commands with settings files, by the names of their schemas.
 *
 * @module
 */
import type { TaskCommand } from "../terminal/cli.ts";
import { benchCommand } from "./bench.ts";
import { benchServeCommand } from "./bench_serve.ts";
import { editCommand } from "./edit_flags.ts";
import { evaluateCommand } from "./evaluation/flags.ts";
import { exportCommand } from "./export.ts";
import { recipesCommand, samplersCommand } from "./quality/flags.ts";
import { sampleCommand } from "./sample.ts";
import { serveCommand } from "./serve_flags.ts";
import { classifierCommand } from "./train_classifier.ts";
import { trainCommand } from "./train_flags.ts";

/** Commands with settings files; `schemas/NAME.json` has the schema of each. */
export const SETTINGS_COMMANDS: Readonly<Record<string, () => TaskCommand>> = {
  train: trainCommand,
  sample: sampleCommand,
  edit: editCommand,
  evaluate: evaluateCommand,
  serve: serveCommand,
  export: exportCommand,
  "train-classifier": classifierCommand,
  "quality-samplers": samplersCommand,
  "quality-recipes": recipesCommand,
  bench: benchCommand,
  "bench-serve": benchServeCommand,
};

/** Schemas of all settings files, as text by path from the project's root. */
export function settingsFileSchemas(): Map<string, string> {
  return new Map(
    Object.entries(SETTINGS_COMMANDS).map(([name, command]) => [
      `schemas/${name}.json`,
      `${JSON.stringify(command().settingsSchema(), null, 2)}\n`,
    ]),
  );
}
