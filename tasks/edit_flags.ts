/**
 * Flags of `${commandLine("edit")}`.
 *
 * @module
 */
import { markovSamplers } from "../lib/diffusion/sampler.ts";
import { ConfigError } from "../lib/errors.ts";
import { commandLine } from "../lib/program.ts";
import { MAX_RESAMPLINGS } from "../lib/sampling/edits/image_edit.ts";
import { RESAMPLING_SAMPLER } from "../lib/sampling/request.ts";
import { shellQuote } from "../lib/shell.ts";
import { type FlagNames, TaskCommand } from "../terminal/cli.ts";
import { checked, integer, listSchema, number, path, pathInFolder, text } from "../terminal/values.ts";
import { addPictureFlags, type PictureFlags } from "./picture_output.ts";
import {
  addDeviceFlags,
  addModelFlags,
  addSamplerFlags,
  type DeviceFlags,
  type ModelFlags,
  type SamplerFlags,
  SAMPLING_FLAG_OF,
} from "./sampling_flags.ts";

/** Values of the flags. */
export interface EditFlags extends ModelFlags, SamplerFlags, DeviceFlags, PictureFlags {
  readonly image?: string;
  readonly mask?: string;
  readonly images?: readonly [string, string];
  readonly seeds?: readonly [number, number];
  readonly frames?: number;
  readonly class?: string;
  readonly from?: string;
  readonly invert?: true;
  readonly count?: number;
  readonly strength?: number;
  readonly resamplings?: number;
  readonly jump?: number;
  readonly seed?: number;
  readonly quiet?: true;
}

const DESCRIPTION =
  "Draws images from given ones: image to image, inpainting, interpolation, change of class.";

const EXAMPLES = `\
Image to image: ${commandLine("edit")} --image cat.png --class dog --strength 0.6
Inpainting:     ${commandLine("edit")} --image cat.png --mask mask.png --class cat
Class change:   ${commandLine("edit")} --image cat.png --invert --from cat --class dog
Two seeds:      ${commandLine("edit")} --seeds 1,2 --class ship --frames 8
Two images:     ${commandLine("edit")} --images a.png,b.png --frames 8

--seeds, --invert and --images need samplers that add no noise. --invert and --images first go from the image back to its \
noise, with 50 evaluations each way unless --steps is given. --images draws without guidance unless --guidance is given.`;

/** Frames of an interpolation if the flag does not say. */
export const DEFAULT_FRAMES = 8;

/** The command line of `deno task edit`. */
export function editCommand(): TaskCommand {
  const command = new TaskCommand("edit", DESCRIPTION)
    .flag(
      "--image <FILE>",
      "the image to edit: a PNG, JPEG, WebP or GIF of any size, cropped to the centre",
      {
        value: path(),
        defaultText: "none",
      },
    )
    .flag(
      "--mask <FILE>",
      "what to draw anew, a picture of the image's size: white; black is kept, grey blends",
      {
        value: path(),
        defaultText: "everything",
      },
    )
    .flag("--images <FILE,FILE>", "two images to draw images between", {
      value: checked("two files, separated by a comma", parseFiles, {
        schema: listSchema({ type: "string", minLength: 1 }, 2, 2),
        inFolder: pathInFolder,
      }),
      defaultText: "none",
    })
    .flag("--seeds <N,N>", "two seeds to draw images between", {
      value: checked("two different seeds of 0 or more, such as 1,2", parseSeeds, {
        schema: listSchema({ type: "integer", minimum: 0 }, 2, 2),
      }),
      defaultText: "none",
    })
    .flag("--frames <N>", "images of an interpolation, both ends included", {
      value: integer(2, 4096),
      unit: "images",
      defaultText: String(DEFAULT_FRAMES),
    })
    .flag("--class <NAME>", "class to draw, by name or number, or a mixture such as cat:0.6,dog:0.4", {
      value: text(),
      defaultText: "none",
    })
    .switch("--invert", "start from the noise that belongs to the image instead of adding some")
    .flag("--from <NAME>", "class of the image, for --invert", { value: text(), defaultText: "none" })
    .flag("--strength <F>", "share of the steps that is run: little changes little", {
      value: number(0, 1, { above: true }),
      defaultText: "0.6; 1 with --mask, --invert and --images",
    })
    .flag(
      "--resamplings <N>",
      "passes over each stretch of steps (RePaint), which fit what is drawn to what is kept; " +
        `for ${markovSamplers.join(", ")} (without --sampler: ${RESAMPLING_SAMPLER})`,
      {
        value: integer(1, MAX_RESAMPLINGS),
        defaultText: "1",
      },
    )
    .flag("--jump <N>", "steps of such a stretch, with --resamplings", {
      value: integer(1),
      unit: "steps",
      defaultText: "10",
    })
    .flag("--count <N>", "images, of one seed each", {
      value: integer(1, 4096),
      unit: "images",
      defaultText: "4",
    });
  addSamplerFlags(command)
    .flag("--seed <N>", "random seed: image i (from 0) has seed N + i", {
      value: integer(0),
      defaultText: "0",
    });
  addPictureFlags(command, "edits.png", "an interpolation");
  addModelFlags(command);
  return addDeviceFlags(command)
    .switch("--quiet", "print only errors")
    .settingsFile({ name: "edit" })
    .notes(EXAMPLES);
}

/** Reads the command line. */
export function readEditFlags(args: readonly string[]): EditFlags {
  return editCommand().read<EditFlags>(args, (word) => `--class ${shellQuote(word)}`);
}

function parseFiles(value: string): readonly [string, string] | undefined {
  const [first, second, ...more] = value.split(",");
  return first && second && more.length === 0 ? [first, second] : undefined;
}

function parseSeeds(value: string): readonly [number, number] | undefined {
  if (!/^\d+,\d+$/.test(value)) return undefined;
  const [first, second] = value.split(",").map(Number);
  if (first === second || !Number.isSafeInteger(first) || !Number.isSafeInteger(second)) return undefined;
  return [first!, second!]; // two parts
}

/** A kind of edit: the flag that asks for it, and the others that it takes beside those of all. */
interface EditKind {
  readonly flag: string;
  readonly takes: readonly (keyof EditFlags)[];
}

/** Kinds of edits by name. */
export type EditName = "seeds" | "images" | "invert" | "image";

const KINDS: Readonly<Record<EditName, EditKind>> = {
  seeds: { flag: "--seeds", takes: ["frames", "gif"] },
  images: { flag: "--images", takes: ["frames", "gif", "strength"] },
  invert: { flag: "--image with --invert", takes: ["image", "invert", "from", "strength"] },
  image: { flag: "--image", takes: ["image", "mask", "strength", "resamplings", "jump", "count", "seed"] },
};

/** Flags that only some kinds take. */
const PARTICULAR: readonly (keyof EditFlags)[] = [
  ...new Set(Object.values(KINDS).flatMap(({ takes }) => takes)),
];

/**
 * The kind of edit that the flags ask for.
 *
 * @throws {ConfigError} for none or several, or a flag that belongs to another kind
 */
export function editKind(flags: EditFlags): EditName {
  const asked = (["seeds", "images", "image"] as const).filter((name) => flags[name] !== undefined);
  const [only, ...more] = asked;
  if (only === undefined || more.length > 0) {
    const given = asked.length === 0 ? "none of them" : asked.map((name) => `--${name}`).join(" and ");
    throw new ConfigError("edit", given, "one of --image, --images and --seeds");
  }
  const name = only === "image" && flags.invert ? "invert" : only;
  const { flag, takes } = KINDS[name];
  for (const other of PARTICULAR) {
    if (flags[other] === undefined || takes.includes(other)) continue;
    const kinds = Object.values(KINDS).filter(({ takes }) => takes.includes(other)).map(({ flag }) => flag);
    throw new ConfigError(
      `--${other}`,
      flags[other],
      `no value with ${flag}; it belongs to ${kinds.join(" and ")}`,
    );
  }
  return name;
}

/** Flags by the names of the options they set. */
export const EDIT_FLAG_OF: FlagNames = {
  ...SAMPLING_FLAG_OF,
  ...Object.fromEntries(
    [
      "class",
      "from",
      "count",
      "seed",
      "seeds",
      "frames",
      "scale",
      "batch",
      "strength",
      "resamplings",
      "jump",
      "mask",
    ]
      .map((name) => [name, `--${name}`]),
  ),
};
