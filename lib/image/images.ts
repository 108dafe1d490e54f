/**
 * A batch of RGB images (grey ones have equal channels), and the ways to look at it: single images, enlargements, labelled grids, PNG files.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { Canvas } from "./canvas.ts";
import { drawText } from "./font.ts";
import { checkWhole } from "../checks.ts";
import { type GridOptions, layOutGrid, MAX_SCALE } from "./grid.ts";
import { checkSize, encodePng } from "./png.ts";

export type { GridOptions } from "./grid.ts";

/**
 * What is known about one image: how it was made, so that it can be made again. Usual keys are `model`, `class`,
 * `seed`, `sampler`, `steps`, `guidance`. A value of undefined counts as absent.
 */
export type ImageMetadata = Readonly<Record<string, string | number | boolean | undefined>>;

const CHANNELS = 3;
const PAPER = 255;
const INK = 0x22;

/** RGB images of one size. */
export class Images {
  /** Bytes, `[count, height, width, 3]`. */
  readonly pixels: Uint8Array;
  /** How many images. */
  readonly count: number;
  /** Height of each image in pixels. */
  readonly height: number;
  /** Width of each image in pixels. */
  readonly width: number;
  /** What is known about each image; as many entries as images. */
  readonly metadata: readonly ImageMetadata[];

  /**
   * Pictures of equal size.
   *
   * @param pixels bytes, `[count, height, width, 3]`; kept, not copied
   * @param count how many images, at least 1
   * @param height of each image in pixels
   * @param width of each image in pixels
   * @param metadata one entry for each image; default: nothing is known
   * @throws {ConfigError} if the numbers do not fit together
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
   * Images from the `x_0` of a sampler (Ho et al. 2020, Algorithm 2, line 6), scaled back from [-1, 1] (section 3.3): -1
   * is black, 1 is white, `byte = (x + 1) * 127.5`, clamped to 0..255 and rounded to the nearest integer, ties to even (like
   * NumPy's `round`, which diffusers uses).
   *
   * @param data `[count, height, width, 3]`, or `[count, height, width, 1]` for grey, which becomes RGB of equal channels;
   *   nominally in [-1, 1]
   * @param count how many images
   * @param height of each image in pixels
   * @param width of each image in pixels
   * @param metadata one entry for each image
   * @returns the images, in memory of their own
   * @throws {ConfigError} if the numbers do not fit together or a value is not finite
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
    // A clamped array clamps and rounds just so; a NaN would quietly turn black.
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
   * Joins batches of one image size into one, in order.
   *
   * @throws {ConfigError} if there is no batch, or their sizes differ
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
   * One image of the batch. It shares memory with the batch.
   *
   * @param index 0 to `count - 1`
   * @throws {ConfigError} if there is no such image
   */
  at(index: number): Images {
    checkWhole("index", index, 0, this.count - 1);
    const length = this.height * this.width * CHANNELS;
    const pixels = this.pixels.subarray(index * length, (index + 1) * length);
    return new Images(pixels, 1, this.height, this.width, [this.metadata[index]!]);
  }

  /**
   * The images enlarged, each pixel a square (nearest neighbour: nothing is made up between pixels).
   *
   * @param scale pixels per pixel, 1 to 16
   * @throws {ConfigError} if the scale is not a whole number in that range
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
   * All images in one picture, row by row, on white. Labels are drawn at the picture's own resolution; a row or column
   * grows where its label needs more room than its images.
   *
   * Its metadata is that of the images: where all agree the one value, else the values in order, joined by ", ".
   *
   * @throws {ConfigError} naming the option that is out of range
   */
  grid(options: GridOptions = {}): Images {
    const { scale = 1, rowLabels, columnLabels } = options;
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
   * The image as a PNG file, its metadata in text chunks.
   *
   * @param metadata further text by keyword; goes before the image's own where both have a keyword
   * @returns the file's bytes
   * @throws {ConfigError} if these are several images, or a keyword or value cannot stand in a PNG
   */
  async png(metadata: Readonly<Record<string, string>> = {}): Promise<Uint8Array> {
    if (this.count !== 1) {
      throw new ConfigError(
        "count",
        this.count,
        "1 image in a PNG; use grid() or at() to make one of several",
      );
    }
    const text: Record<string, string> = {};
    for (const [key, value] of Object.entries(this.metadata[0]!)) {
      if (value !== undefined) text[key] = String(value);
    }
    return await encodePng(this.pixels, this.width, this.height, { ...text, ...metadata });
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
