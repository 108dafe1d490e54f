/**
 * Options that image files are read with.
 *
 * @module
 */

import { checkWhole } from "../checks.ts";
import { ConfigError } from "../errors.ts";
import { type Colour, type Fit, FITS, type Framing, WHITE } from "./decode/framing.ts";
import { IMAGE_SIDE } from "./official.ts";

/** Bounds of the height and width of a data set's images, in pixels. */
export const MIN_DATASET_SIDE = 4;
export const MAX_DATASET_SIDE = 1024;

/** Actions for files that cannot be decoded: end the call, or leave them out. */
export const ON_BAD_FILE: readonly OnBadFile[] = ["stop", "skip"];

/** Action for files that cannot be decoded. */
export type OnBadFile = "stop" | "skip";

/** Size, colours and classes of a data set made of image files. */
export interface ImageFileOptions {
  /** Height and width in pixels, 4 to 1024, or one number for both. Default 32. */
  readonly size?: number | readonly [number, number];
  /**
   * How images of another shape are fitted: `crop` (default) takes their centre, `pad` all of them with a border, `squash` stretches
   * them.
   */
  readonly fit?: Fit;
  /** 3 for red, green and blue (default), 1 for grey. */
  readonly channels?: 1 | 3;
  /** Colour under transparent pixels and of the border of `pad`, 0 to 255 each. Default white. */
  readonly background?: Colour;
  /** Column of a label file with the classes. Default the first of `label`, `class`, `labels`, `category`, `fine_label`. */
  readonly labelColumn?: string;
  /** A file that cannot be decoded ends the call (`stop`, the default), or is left out and named at the end (`skip`). */
  readonly onBadFile?: OnBadFile;
}

/**
 * Frame of the images that the options ask for.
 *
 * @throws {ConfigError} naming the option that is out of its range
 */
export function framingOf(options: ImageFileOptions): Framing {
  const { size = IMAGE_SIDE, fit = "crop", channels = 3, background = WHITE, onBadFile = "stop" } = options;
  const [height, width] = typeof size === "number" ? [size, size] : size;
  checkWhole("size", height, MIN_DATASET_SIDE, MAX_DATASET_SIDE);
  checkWhole("size", width!, MIN_DATASET_SIDE, MAX_DATASET_SIDE);
  if (!FITS.includes(fit)) throw new ConfigError("fit", fit, `one of ${FITS.join(", ")}`);
  if (channels !== 1 && channels !== 3) throw new ConfigError("channels", channels, "1 or 3");
  const isColour = background.length === 3 &&
    background.every((value) => Number.isInteger(value) && value >= 0 && value <= 255);
  if (!isColour) throw new ConfigError("background", background, "three whole numbers from 0 to 255");
  if (!ON_BAD_FILE.includes(onBadFile)) {
    throw new ConfigError("onBadFile", onBadFile, ON_BAD_FILE.join(" or "));
  }
  return { height, width: width!, fit, channels, background };
}

/** All options, defaults filled in: a run that recorded them reads the same images whatever later defaults are. */
export function completeOptions(options: ImageFileOptions): ImageFileOptions {
  const { height, width, fit, channels, background } = framingOf(options);
  const { labelColumn, onBadFile = "stop" } = options;
  const size = [height, width] as const;
  return { size, fit, channels, background, onBadFile, ...labelColumn === undefined ? {} : { labelColumn } };
}
