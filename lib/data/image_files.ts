/**
 * Image files as a data set.
 *
 * @module
 */

import { checkWhole } from "../checks.ts";
import { ConfigError, DataError } from "../errors.ts";
import { type DataProgressListener, type ImageDataset, imageDataset } from "./dataset.ts";
import type { ImageTrait } from "./decode/decode.ts";
import { type Colour, type Fit, FITS, type Framing, WHITE } from "./decode/framing.ts";
import { DecoderPool } from "./decode/pool.ts";
import type { ImageSource } from "./image_source.ts";
import { type Cifar10Split, IMAGE_SIDE } from "./official.ts";

/** Images between two progress events. */
const PROGRESS_EVERY = 100;
/** Broken files that a note lists by name. */
const NAMED_FILES = 3;

/** Limit on the height and width of a data set's images. */
export const MAX_DATASET_SIDE = 1024;

/** What becomes of files that cannot be decoded. */
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
  const { size = IMAGE_SIDE, fit = "crop", channels = 3, background = WHITE } = options;
  const [height, width] = typeof size === "number" ? [size, size] : size;
  checkWhole("size", height, 4, MAX_DATASET_SIDE);
  checkWhole("size", width!, 4, MAX_DATASET_SIDE);
  if (!FITS.includes(fit)) throw new ConfigError("fit", fit, `one of ${FITS.join(", ")}`);
  if (channels !== 1 && channels !== 3) throw new ConfigError("channels", channels, "1 or 3");
  const isColour = background.length === 3 &&
    background.every((value) => Number.isInteger(value) && value >= 0 && value <= 255);
  if (!isColour) throw new ConfigError("background", background, "three whole numbers from 0 to 255");
  return { height, width: width!, fit, channels, background };
}

/**
 * Decodes the images of a source. Decoding runs in workers, so the caller's thread stays responsive.
 *
 * @param split `test` needs a `test` folder beside `train`
 * @param onProgress called every 100 images, and with notes on skipped entries, splits and converted images
 * @throws {ConfigError} if an option is out of its range
 * @throws {DataError} naming the file or folder that does not fit, or cannot be decoded
 */
export async function readImageFiles(
  source: ImageSource,
  split: Cifar10Split,
  options: ImageFileOptions,
  onProgress: DataProgressListener,
): Promise<ImageDataset> {
  const framing = framingOf(options);
  const { classes, images: training, validation = [], notes } = await source.layout(
    split,
    options.labelColumn,
  );
  for (const message of notes) onProgress({ message });
  const files = [...training, ...validation];
  const indices = new Map(files.map(({ file }, i) => [file, i]));
  const bytesPerImage = framing.height * framing.width * framing.channels;
  const pixels = new Uint8Array(files.length * bytesPerImage);
  const conversions = new Conversions(framing);
  const broken = new Map<number, DataError>();
  const message = `reading images of ${source.path}`;
  let done = 0;
  using pool = new DecoderPool(files.length);
  onProgress({ message, done, total: files.length });
  await pool.forEach(source.read(files.map(({ file }) => file)), async ({ file, bytes }) => {
    const i = indices.get(file)!; // a file that was asked for
    try {
      const image = await pool.decode(bytes, source.describe(file), framing);
      pixels.set(image.pixels, i * bytesPerImage);
      conversions.add(image);
    } catch (error) {
      if (!(error instanceof DataError) || options.onBadFile !== "skip") throw error;
      broken.set(i, error);
    }
    if (++done % PROGRESS_EVERY === 0) onProgress({ message, done, total: files.length });
  });
  for (const message of conversions.notes(files.length)) onProgress({ message });
  if (broken.size > 0) {
    const named = [...broken].sort(([a], [b]) => a - b).slice(0, NAMED_FILES).map(([, { message }]) =>
      message
    );
    onProgress({
      message: `left out ${broken.size} of ${files.length} files, which cannot be read: ${named.join("; ")}` +
        (broken.size > NAMED_FILES ? "; …" : ""),
    });
  }
  const kept = files.map((_, i) => i).filter((i) => !broken.has(i));
  if (kept.length === 0) {
    throw new DataError(`${source.path}: none of its ${files.length} images can be read`);
  }
  const firstValidation = kept.findIndex((i) => i >= training.length);
  const name = source.path.split(/[/\\]/).filter((part) => part !== "" && part !== ".").pop() ?? source.path;
  return imageDataset({
    name,
    images: broken.size === 0 ? pixels : compacted(pixels, kept, bytesPerImage),
    labels: Uint8Array.from(kept, (i) => files[i]!.label), // an index of `files`
    classes,
    height: framing.height,
    width: framing.width,
    channels: framing.channels,
    ...firstValidation < 0 ? {} : {
      validation: Uint32Array.from({ length: kept.length - firstValidation }, (_, i) => firstValidation + i),
    },
  });
}

/** The kept images, moved together. */
function compacted(pixels: Uint8Array, kept: readonly number[], bytesPerImage: number): Uint8Array {
  kept.forEach((from, to) =>
    pixels.copyWithin(to * bytesPerImage, from * bytesPerImage, (from + 1) * bytesPerImage)
  );
  return pixels.slice(0, kept.length * bytesPerImage);
}

/** Counts what was converted. */
class Conversions {
  readonly #framing: Framing;
  readonly #traits = new Map<ImageTrait, number>();
  #resized = 0;

  constructor(framing: Framing) {
    this.#framing = framing;
  }

  add({ width, height, traits }: { width: number; height: number; traits: readonly ImageTrait[] }): void {
    if (width !== this.#framing.width || height !== this.#framing.height) this.#resized++;
    for (const trait of traits) this.#traits.set(trait, (this.#traits.get(trait) ?? 0) + 1);
  }

  /** Notes for the user. */
  notes(total: number): string[] {
    const { fit, height, width, channels, background } = this.#framing;
    const size = `${width}x${height}`;
    const shape = width === height ? "square" : "part of that shape";
    const fitted = {
      crop: `cropped to the centre ${shape} and resized to ${size}`,
      pad: `resized to fit into ${size}, with a border of ${colourText(background)}`,
      squash: `stretched to ${size}`,
    }[fit];
    const words: Readonly<Record<ImageTrait, string>> = {
      grey: channels === 1 ? "grey" : "grey, read as colour",
      palette: "with a palette",
      "16 bits": "of 16 bits per colour, read as 8",
      CMYK: "in CMYK, read as RGB",
      transparent: `with transparency, put on ${colourText(background)}`,
    };
    const traits = [...this.#traits].map(([trait, count]) => `${count} ${words[trait]}`);
    return [
      ...this.#resized > 0 ? [`images of other sizes are ${fitted}: ${this.#resized} of ${total}`] : [],
      ...traits.length > 0 ? [`converted images: ${traits.join(", ")}`] : [],
    ];
  }
}

function colourText(colour: Colour): string {
  if (colour.every((value) => value === 255)) return "white";
  return `#${colour.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
