/**
 * The command line of `deno task train`: a flag for each setting, and the other flags.
 *
 * @module
 */
import { ConfigError, type SettingsOptions, type UNetConfig, unetConfigFromJson } from "../mod.ts";
import {
  GRID_SETTINGS,
  type GridSettings,
  PROCESS_SETTINGS,
  type ProcessSettings,
} from "../lib/train/options.ts";
import { decodeText } from "../lib/files/stand_in.ts";
import type { Backend } from "../lib/gpu/backend.ts";
import { commandLine } from "../lib/program.ts";
import { pickGiven } from "../lib/train/setting.ts";
import { settingsRules } from "../lib/train/settings_schema.ts";
import { NETWORK_SETTINGS, TRAINING_SETTINGS } from "../lib/train/settings_table.ts";
import { BACKEND_HELP, BACKEND_OPTIONS } from "../terminal/backend.ts";
import { type FlagNames, TaskCommand } from "../terminal/cli.ts";
import { integer, path } from "../terminal/values.ts";
import type { EffectiveSetting, PrintedForm } from "../terminal/printed_settings.ts";
import { addSettingFlags, flagNames, readSettingFlags } from "../terminal/setting_flags.ts";
import { addDataFlags, DATA_FLAG_NAMES, DATA_HELP, type DataFlags, imageOptionsIn } from "./data_flags.ts";
import { PROFILE_FLAG } from "./profile.ts";
import { modelPath } from "./runs.ts";

/** Flags other than settings, and those of files: `config` of the setting `model`, `betasFile` of `betas`. */
interface OtherFlags {
  /** Path of the network's configuration, or one of a settings file. */
  config?: string | object;
  /** Path of a list of betas, or one of a settings file, which may be null. */
  betasFile?: string | readonly number[] | null;
  out?: string;
  init?: string;
  resume?: string | true;
  tensorboard?: string;
  backend?: Backend;
  profile?: string | true;
  /** Seconds without a sign of life after which a rank is taken for dead. */
  rankTimeout: number;
  printSchema?: true;
  /** Prints the settings in effect, if that is asked for, given what is known of them besides the flags. */
  printSettings?: SettingsPrinter;
  quiet?: true;
  json?: true;
}

/** Text of the settings in effect of a run. */
export type SettingsPrinter = (
  effective: (sourceOf: (name: string) => string | undefined) => Record<string, EffectiveSetting | null>,
) => string;

/** Default of `--rank-timeout`: longer than a rank is busy with one thing, such as compiling a kernel. */
const RANK_TIMEOUT = 60;

/** Parsed command line. */
export interface Flags
  extends OtherFlags, DataFlags, Omit<SettingsOptions, "model">, GridSettings, ProcessSettings {}

/** Settings that determine the results, and those that do not. */
const RUN_SETTINGS = { ...NETWORK_SETTINGS, ...TRAINING_SETTINGS };
const OTHER_SETTINGS = { ...GRID_SETTINGS, ...PROCESS_SETTINGS };

/** Flags by the names of the options they set. */
export const FLAG_OF: FlagNames = {
  ...flagNames(RUN_SETTINGS),
  ...flagNames(OTHER_SETTINGS),
  ...DATA_FLAG_NAMES,
  data: "--data",
  out: "--out",
  init: "--init",
  resume: "--resume",
  tensorboard: "--tensorboard",
};

/** The command line of `deno task train`. */
export function trainCommand(): TaskCommand {
  const command = new TaskCommand(
    "train",
    "Trains a class-conditional denoising diffusion model on CIFAR-10, or on your own images.",
  )
    .group("Data and output:");
  addDataFlags(command, DATA_HELP, {
    size: "32, or that of --init or --config",
    channels: "3, or as of --init or --config",
  })
    .flag("--out <DIR>", "run directory", {
      value: path(),
      defaultText: "a new one under runs/",
      conflicts: ["resume"],
    })
    .flag(
      "--init <PATH>",
      `fine-tune a model, named like \`--model\` of \`${
        commandLine("sample")
      }\`: start from its weights, with its network; a preset only chooses the defaults of other settings`,
      { value: modelPath(), defaultText: "random weights", conflicts: ["resume", "config"] },
    )
    .flag("--resume [DIR]", "resume a run; the result is bit-identical to an uninterrupted run", {
      value: path(),
      defaultText: "the newest under runs/",
      form: null,
    })
    .flag(
      "--tensorboard <DIR>",
      "write TensorBoard's event files, too: scalars, sample grids and settings, to a folder in DIR with the name of the run's directory",
      { value: path() },
    );
  addSettingFlags(command.group("Network:"), NETWORK_SETTINGS);
  addSettingFlags(command.group("Training:"), TRAINING_SETTINGS);
  addSettingFlags(command.group("Sample grids during training:"), GRID_SETTINGS);
  addSettingFlags(command.group("Progress and kernels:"), PROCESS_SETTINGS);
  return command
    .flag("--backend <NAME>", BACKEND_HELP, BACKEND_OPTIONS)
    .flag("--profile [FILE]", PROFILE_FLAG, { value: path() })
    .flag(
      "--rank-timeout <SECONDS>",
      "with mpirun: seconds without a sign of life of a rank, stopped or hanging, after which all end",
      { value: integer(5, 86_400), defaultText: `${RANK_TIMEOUT}`, form: null },
    )
    .group("Options:")
    .switch("--quiet", "print only errors", ["json"])
    .switch("--json", "print events as JSON lines")
    .settingsFile({ name: "train", rules: settingsRules(), printsItself: true })
    .switch("--print-schema", "print the JSON Schema of all settings, and exit", [], null);
}

/** Reads the command line. */
export function readFlags(args: readonly string[]): Flags {
  const command = trainCommand();
  const values = command.read<
    & Omit<OtherFlags, "printSettings" | "rankTimeout">
    & { readonly rankTimeout?: number }
    & DataFlags
    & Record<string, unknown>
    & { readonly printSettings?: PrintedForm | true }
  >(args);
  const { betas, config, out, init, resume, tensorboard, backend, profile, printSchema, quiet, json } =
    values;
  const { rankTimeout = RANK_TIMEOUT } = values;
  const { printSettings: form } = values;
  const outInFile = command.inFile("out") as string | undefined;
  return {
    ...{
      betasFile: betas as Flags["betasFile"],
      config,
      out,
      init,
      // A run that a settings file names is the one to resume.
      resume: resume === true ? outInFile ?? true : resume,
      tensorboard,
      backend,
      profile,
      rankTimeout,
      printSchema,
      quiet,
      json,
    },
    ...form === undefined ? {} : {
      printSettings: (effective) =>
        command.printedSettings(form, effective((name) => command.sourceOf(name))),
    },
    ...(values.data === undefined ? {} : { data: values.data }),
    ...(values.imageCache === undefined ? {} : { imageCache: values.imageCache }),
    ...imageOptionsIn(values),
    ...readSettingFlags<Omit<SettingsOptions, "model">>(RUN_SETTINGS, values),
    ...readSettingFlags<GridSettings & ProcessSettings>(OTHER_SETTINGS, values),
  };
}

/** Settings of the run given on the command line; others keep their default or, on resume, their stored value. */
export async function settingsOf(flags: Flags): Promise<SettingsOptions> {
  const given = pickGiven<SettingsOptions>(RUN_SETTINGS, flags);
  const { config, betasFile } = flags;
  return {
    ...given,
    ...(config === undefined
      ? {}
      : { model: typeof config === "string" ? await readNetwork(config) : config as UNetConfig }),
    ...(betasFile === undefined
      ? {}
      : { betas: typeof betasFile === "string" ? await readBetas(betasFile) : betasFile }),
  };
}

/** Other settings given on the command line. */
export function otherSettingsOf(flags: Flags): GridSettings & ProcessSettings {
  return pickGiven<GridSettings & ProcessSettings>(OTHER_SETTINGS, flags);
}

/** Reads a list of betas; the list itself is checked with the other settings. */
async function readBetas(path: string): Promise<readonly number[]> {
  const json = await readJson("--betas", path);
  if (!Array.isArray(json)) throw new ConfigError("--betas", path, "a JSON file with a list of numbers");
  return json;
}

/**
 * Reads a network's configuration for `--config`.
 * @throws {ConfigError} if the file is not one
 */
export async function readNetwork(path: string): Promise<UNetConfig> {
  const json = await readJson("--config", path);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ConfigError("--config", path, "a JSON object");
  }
  try {
    return unetConfigFromJson(json as Record<string, unknown>);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError("--config", path, `a config.json of diffusers' UNet2DModel (${error.message})`);
  }
}

async function readJson(flag: string, path: string): Promise<unknown> {
  try {
    return JSON.parse(decodeText(await Deno.readFile(path)));
  } catch (error) {
    throw new ConfigError(flag, path, `a JSON file (${(error as Error).message})`);
  }
}
