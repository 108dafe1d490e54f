/**
 * Commands to repeat a run, to continue it, and to draw from its model.
 *
 * @module
 */
import { join } from "node:path";
import { UNET_CONFIG } from "../lib/files/pipeline_files.ts";
import { commandLine } from "../lib/program.ts";
import type { ReadRun } from "../lib/report/read_run.ts";
import type { RunCommands } from "../lib/report/run_record.ts";
import { isChanged, type ShownSetting, shownSettings } from "../lib/report/settings_section.ts";
import { ALL_SETTINGS } from "../lib/train/options.ts";
import type { Setting } from "../lib/train/setting.ts";
import { flagOf } from "../terminal/setting_flags.ts";
import { imageOptionWords } from "./data_flags.ts";

/** Settings that follow from others, or for which the command has a flag of its own. */
const NOT_REPEATED: readonly string[] = ["preset", "recipe"];

/** Commands of a run; those that cannot be told from its record are left out. */
export function runCommands(run: ReadRun): RunCommands {
  const { directory, classes, log: { end }, settings, resumable } = run;
  const [first] = classes;
  return {
    repeat: settings && commandLine("train", repeatArguments(run)),
    resume: resumable && end?.interrupted !== false
      ? commandLine("train", ["--resume", directory, ...backendArguments(run)])
      : undefined,
    sample: commandLine("sample", [
      ...["--model", directory],
      ...first === undefined ? [] : ["--class", first],
    ]),
  };
}

/** Arguments of `deno task train` that give a run's settings, whatever recipe, file or flags they came from. */
export function repeatArguments(run: ReadRun): string[] {
  const { settings, dataset, init, directory } = run;
  if (!settings) return [];
  const preset = settings.preset === "custom" ? [] : ["--preset", settings.preset];
  const network = init !== undefined
    ? ["--init", init, ...preset]
    : settings.preset === "custom"
    ? ["--config", join(directory, UNET_CONFIG)]
    : preset;
  const changed = shownSettings(run).filter((setting) =>
    isChanged(setting) && !NOT_REPEATED.includes(setting.name)
  );
  return [
    ...dataset?.source === undefined
      ? []
      : ["--data", dataset.source, ...imageOptionWords(dataset.imageOptions ?? {})],
    ...network,
    ...changed.flatMap(flagWords),
    ...backendArguments(run),
  ];
}

/** Words of a setting's flag; none for null, which no flag takes. */
function flagWords({ name, given }: ShownSetting): string[] {
  const setting = (ALL_SETTINGS as Readonly<Record<string, Setting>>)[name];
  if (!setting || given === null) return [];
  const flag = flagOf(name, setting);
  if (setting.kind === "boolean") return [flag];
  if (setting.kind === "numbers" && !setting.inline) return [flag, `${name}.json`];
  return [flag, Array.isArray(given) ? given.join(",") : String(given)];
}

function backendArguments({ machine }: ReadRun): string[] {
  return machine?.adapter.backend === "dawn" ? ["--backend", "dawn"] : [];
}
