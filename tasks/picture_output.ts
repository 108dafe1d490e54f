/**
 * Pictures that the tasks which draw images write.
 *
 * @module
 */
import { join } from "node:path";
import type { GridOptions, Images } from "../mod.ts";
import { ConfigError } from "../lib/errors.ts";
import { encodeGif } from "../lib/image/animation.ts";
import type { TaskCommand } from "../terminal/cli.ts";
import { integer, path } from "../terminal/values.ts";
import { checkWritable, writePicture } from "../terminal/pictures.ts";
import { counted } from "../lib/counted.ts";
import type { Reporter } from "../terminal/progress.ts";

/** Flags that say where pictures go. */
export interface OutputFlags {
  /** A file NAME.png, or a directory. */
  readonly out: string;
  /** A file NAME.gif. */
  readonly gif?: string;
}

/** Flags of pictures. */
export interface PictureFlags extends OutputFlags {
  /** Width of each pixel in the picture. */
  readonly scale: number;
  /** Images drawn at once. */
  readonly batch: number;
}

/**
 * Adds `--scale`, `--batch`, `--out` and `--gif`.
 *
 * @param out default of `--out`
 * @param animated what a GIF animates, for the help
 */
export function addPictureFlags(command: TaskCommand, out: string, animated: string): TaskCommand {
  return command
    .flag("--scale <N>", "magnification: the width of each pixel in the picture", {
      value: integer(1, 16),
      default: 2,
    })
    .flag("--batch <N>", "images drawn at once; affects memory, not the images", {
      value: integer(1, 4096),
      unit: "images",
      default: 64,
    })
    .flag("--out <PATH>", "a file NAME.png for a grid, or a directory for one PNG per image", {
      value: path(),
      default: out,
    })
    .flag("--gif <FILE>", `also animate ${animated}, in a file NAME.gif`, {
      value: path(),
      defaultText: "none",
    });
}

/** Extensions of unsupported picture formats, which are not taken for directory names. */
const OTHER_PICTURE = /\.(jpe?g|gif|webp|bmp|tiff?|avif|svg)$/i;

/** True if `--out` is a single file. */
export function isPictureFile(out: string): boolean {
  return out.toLowerCase().endsWith(".png");
}

/**
 * Checks extensions, and that the files can be written, before the model is loaded.
 *
 * @throws {ConfigError} naming the flag
 */
export async function checkTargets({ out, gif }: OutputFlags): Promise<void> {
  if (OTHER_PICTURE.test(out)) throw new ConfigError("--out", out, "a file NAME.png, or a directory");
  if (gif !== undefined && !gif.toLowerCase().endsWith(".gif")) {
    throw new ConfigError("--gif", gif, "a file NAME.gif");
  }
  await checkWritable("--out", out, !isPictureFile(out));
  if (gif !== undefined) await checkWritable("--gif", gif);
}

/**
 * Checks that no picture is written over one that is read: what it was drawn from would be lost.
 *
 * @param names file names of the images in a directory `--out`, without extensions
 * @param given the pictures that are read
 * @throws {ConfigError} naming the flag
 */
export async function checkGivenKept(
  { out, gif }: OutputFlags,
  names: readonly string[],
  given: readonly string[],
): Promise<void> {
  const read = new Set(await Promise.all(given.map((file) => Deno.realPath(file))));
  const written = isPictureFile(out) ? [out] : names.map((name) => join(out, `${name}.png`));
  for (const [flag, files] of [["--out", written], ["--gif", gif === undefined ? [] : [gif]]] as const) {
    for (const file of files) {
      const present = await Deno.realPath(file).catch(() => undefined);
      if (present === undefined || !read.has(present)) continue;
      throw new ConfigError(
        flag,
        flag === "--out" ? out : gif,
        `another path: it would replace ${file}, which is given`,
      );
    }
  }
}

/**
 * Writes images to one file, as a grid if there are several, or to a directory with a file for each.
 *
 * @param grid layout and magnification
 * @param nameOf file name of an image without its extension
 */
export async function writeImages(
  images: Images,
  out: string,
  grid: GridOptions,
  nameOf: (index: number) => string,
  report: Reporter,
): Promise<void> {
  const { scale = 1 } = grid;
  if (isPictureFile(out)) {
    const picture = images.count === 1 ? images.scaled(scale) : images.grid(grid);
    await writePicture(out, await picture.png());
  } else {
    for (let i = 0; i < images.count; i++) {
      // Class names come from the model's files, and may be anything, such as `../x`.
      const safe = nameOf(i).replace(/[^\p{L}\p{N} _-]/gu, "_");
      await writePicture(join(out, `${safe}.png`), await images.at(i).scaled(scale).png());
    }
  }
  report.line(`${counted(images.count, "image")} in ${out}`);
}

/** Writes an animation. */
export async function writeAnimation(
  frames: readonly Images[],
  gif: string,
  report: Reporter,
): Promise<void> {
  report.line(`encoding an animation of ${counted(frames.length, "frame")}`);
  await writePicture(gif, await encodeGif(frames, { delayMs: 100 }));
  report.line(`animation in ${gif}`);
}
