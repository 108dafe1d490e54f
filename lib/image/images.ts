/**
 * Batches of RGB images: single images, enlargements, labelled grids, PNG files.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { Canvas } from "./canvas.ts";
import { drawText } from "./font.ts";
import { checkWhole } from "../checks.ts";
import { type GridOptions, layOutGrid, MAX_SCALE, writableLabels } from "./grid.ts";
import { JUPYTER_DISPLAY, type JupyterMedia } from "./jupyter.ts";
import { checkSize, encodePng } from "./png.ts";

export type { GridOptions } from "./grid.ts";

/**
 * Metadata of one image: the parameters it was sampled with, so that it can be reproduced. Usual keys are `model`,
 * `class`, `seed`, `sampler`, `steps` and `guidance`. Keys with the value undefined are treated as absent.
 */
export type ImageMetadata = Readonly<Record<string, string | number | boolean | undefined>>;

const CHANNELS = 3;
const PAPER = 255;
const INK = 0x22;
/** Images up to this width are enlarged in notebooks, by at most the factor below. */
const SMALL_WIDTH = 64;
const NOTEBOOK_SCALE = 4;
/** Width in pixels that enlarged images should not exceed in notebooks. */
const NOTEBOOK_WIDTH = 640;

/** A batch of RGB images of equal size; grey images have equal channels. */
export class Images {
  /** RGB values 0 to 255, shape `[count, height, width, 3]`. */
  readonly pixels: Uint8Array;
  /** Number of images. */
  readonly count: number;
  /** Height of each image in pixels. */
  readonly height: number;
  /** Width of each image in pixels. */
  readonly width: number;
  /** Metadata of each image. */
  readonly metadata: readonly ImageMetadata[];

  /**
   * Wraps a batch of images.
   *
   * @param pixels RGB values 0 to 255, shape `[count, height, width, 3]`; kept, not copied
   * @param count number of images, 1 or more
   * @param height height of each image in pixels
   * @param width width of each image in pixels
   * @param metadata one entry per image; default: empty
   * @throws {ConfigError} if the arguments do not match each other
   */
  constructor(
    pixels: Uint8Array,
    count: number,
    height: number,
    width: number,
    metadata?: readonly ImageMetadata[],
  ) {
    checkWhole("count", count, 1, Number.MAX_SAFE_INTEGER);
    checkSize(width, height);
    checkLength("pixels.length", pixels.length, count, height, width);
    if (metadata && metadata.length !== count) {
      throw new ConfigError("metadata.length", metadata.length, `one entry for each of the ${count} images`);
    }
    this.pixels = pixels;
    this.count = count;
    this.height = height;
    this.width = width;
    this.metadata = metadata ?? Array.from({ length: count }, () => ({}));
  }

  /**
   * Converts the `x_0` of a sampler (Ho et al. 2020, Algorithm 2, line 6) from [-1, 1] (section 3.3) to bytes: -1 is
   * black, 1 is white, `byte = (x + 1) * 127.5`, clamped to 0..255 and rounded to the nearest integer, ties to even (like
   * NumPy's `round`, which diffusers uses).
   *
   * @param data `[count, height, width, 3]`, or `[count, height, width, 1]` for grey, which becomes RGB of equal channels;
   *   nominally in [-1, 1]
   * @param count number of images
   * @param height height of each image in pixels
   * @param width width of each image in pixels
   * @param metadata one entry per image; default: empty
   * @returns the images, in new memory
   * @throws {ConfigError} if the arguments do not match each other, or a value is not finite
   */
  static fromFloats(
    data: Float32Array,
    count: number,
    height: number,
    width: number,
    metadata?: readonly ImageMetadata[],
  ): Images {
    const grey = data.length === count * height * width;
    if (!grey) checkLength("data.length", data.length, count, height, width);
    // A Uint8ClampedArray clamps and rounds like this; it would turn NaN into black.
    const bytes = new Uint8ClampedArray(count * height * width * CHANNELS);
    const copies = grey ? CHANNELS : 1;
    for (let i = 0; i < data.length; i++) {
      if (!Number.isFinite(data[i])) throw new ConfigError(`data[${i}]`, data[i], "a finite number");
      const value = (data[i]! + 1) * 127.5;
      for (let copy = 0; copy < copies; copy++) bytes[copies * i + copy] = value;
    }
    return new Images(new Uint8Array(bytes.buffer), count, height, width, metadata);
  }

  /**
   * Concatenates batches of equal image size, in order.
   *
   * @throws {ConfigError} if there is no batch, or image sizes differ
   */
  static concat(batches: readonly Images[]): Images {
    const [first] = batches;
    if (!first) throw new ConfigError("batches.length", 0, "at least one batch of images");
    const { height, width } = first;
    for (const [index, batch] of batches.entries()) {
      if (batch.height !== height || batch.width !== width) {
        throw new ConfigError(
          `batches[${index}]`,
          `${batch.width} x ${batch.height}`,
          `images of ${width} x ${height}`,
        );
      }
    }
    const count = batches.reduce((sum, batch) => sum + batch.count, 0);
    const pixels = new Uint8Array(count * height * width * CHANNELS);
    let position = 0;
    for (const batch of batches) {
      pixels.set(batch.pixels, position);
      position += batch.pixels.length;
    }
    return new Images(pixels, count, height, width, batches.flatMap((batch) => batch.metadata));
  }

  /**
   * Returns one image of the batch, sharing its memory.
   *
   * @param index 0 to `count - 1`
   * @throws {ConfigError} if the index is out of range
   */
  at(index: number): Images {
    checkWhole("index", index, 0, this.count - 1);
    const length = this.height * this.width * CHANNELS;
    const pixels = this.pixels.subarray(index * length, (index + 1) * length);
    return new Images(pixels, 1, this.height, this.width, [this.metadata[index]!]);
  }

  /**
   * Enlarges the images (nearest neighbour): each pixel becomes a square of `scale` x `scale`.
   *
   * @param scale whole number from 1 to 16
   * @throws {ConfigError} if the scale is out of range
   */
  scaled(scale: number): Images {
    checkWhole("scale", scale, 1, MAX_SCALE);
    const scaled = [];
    for (let i = 0; i < this.count; i++) {
      const canvas = new Canvas(this.width * scale, this.height * scale, PAPER);
      canvas.put(this.at(i).pixels, this.width, this.height, 0, 0, scale);
      scaled.push(new Images(canvas.pixels, 1, canvas.height, canvas.width, [this.metadata[i]!]));
    }
    return Images.concat(scaled);
  }

  /**
   * Arranges all images in one picture, row by row, on white. Labels are not enlarged with the images; a row or column
   * whose label is larger than its images grows.
   *
   * Metadata is merged: a value that all images share is kept, different values are joined in order by ", ".
   *
   * @returns a batch of one image
   * @throws {ConfigError} naming the option that is out of range
   */
  grid(options: GridOptions = {}): Images {
    const { scale = 1 } = options;
    const { rowLabels, columnLabels } = writableLabels(options);
    const { width, height, placeOf, labelOfRow, labelOfColumn, textScale } = layOutGrid(this, options);
    const canvas = new Canvas(width, height, PAPER);
    for (let i = 0; i < this.count; i++) {
      const { x, y } = placeOf(i);
      canvas.put(this.at(i).pixels, this.width, this.height, x, y, scale);
    }
    for (const [row, label] of rowLabels?.entries() ?? []) {
      const { x, y } = labelOfRow(row, label);
      drawText(canvas, label, x, y, textScale, INK);
    }
    for (const [column, label] of columnLabels?.entries() ?? []) {
      const { x, y } = labelOfColumn(column, label);
      drawText(canvas, label, x, y, textScale, INK);
    }
    return new Images(canvas.pixels, 1, height, width, [mergeMetadata(this.metadata)]);
  }

  /**
   * Encodes the image as a PNG file, with its metadata in text chunks.
   *
   * @param metadata further text by keyword; takes precedence over the image's own metadata
   * @returns the file's bytes
   * @throws {ConfigError} unless the batch has exactly one image, or if a keyword or value is not allowed in a PNG
   */
  async png(metadata: Readonly<Record<string, string>> = {}): Promise<Uint8Array> {
    if (this.count !== 1) {
      throw new ConfigError(
        "count",
        this.count,
        "1 image for a PNG; use grid() to combine several, or at() to select one",
      );
    }
    const text: Record<string, string> = {};
    for (const [key, value] of Object.entries(this.metadata[0]!)) {
      if (value !== undefined) text[key] = String(value);
    }
    return await encodePng(this.pixels, this.width, this.height, { ...text, ...metadata });
  }

  /**
   * Displays the images in a Jupyter notebook, several as a grid; images of at most 64 pixels' width are enlarged.
   *
   * @example The last line of a cell
   * ```ts ignore
   * await model.generate({ class: "horse", count: 4 });
   * ```
   */
  async [JUPYTER_DISPLAY](): Promise<JupyterMedia> {
    const columns = Math.ceil(Math.sqrt(this.count));
    const fitting = Math.min(NOTEBOOK_SCALE, Math.floor(NOTEBOOK_WIDTH / (columns * this.width)));
    const scale = this.width > SMALL_WIDTH ? 1 : Math.max(1, fitting);
    const picture = this.count === 1 ? this.scaled(scale) : this.grid({ columns, scale });
    const size = `${this.width} x ${this.height}`;
    return {
      "image/png": (await picture.png()).toBase64(),
      "text/plain": this.count === 1 ? `image of ${size}` : `${this.count} images of ${size}`,
    };
  }
}

function mergeMetadata(all: readonly ImageMetadata[]): ImageMetadata {
  const merged: Record<string, string | number | boolean | undefined> = {};
  for (const key of new Set(all.flatMap((one) => Object.keys(one)))) {
    const values = all.map((one) => one[key]);
    merged[key] = new Set(values).size === 1 ? values[0] : values.map((value) => value ?? "").join(", ");
  }
  return merged;
}

function checkLength(field: string, length: number, count: number, height: number, width: number): void {
  const expected = count * height * width * CHANNELS;
  if (length !== expected) {
    throw new ConfigError(field, length, `${count} x ${height} x ${width} x ${CHANNELS} = ${expected}`);
  }
}
