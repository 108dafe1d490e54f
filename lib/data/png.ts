/**
 * Reads PNG files with fast-png, after the checks that it leaves to its caller, as red, green, blue and alpha of 8 bits.
 *
 * @module
 */

import { convertIndexedToRgb, decode, type DecodedPng } from "fast-png";
import { DataError } from "../errors.ts";
import { reason } from "./files.ts";

/** A decoded image. */
export interface RgbaImage {
  /** Columns. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Values 0 to 255, shape `[height, width, 4]`, red green blue alpha, alpha not multiplied in. */
  readonly rgba: Uint8Array | Uint8ClampedArray;
}

const SIGNATURE: readonly number[] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Decoded, four bytes a pixel, this is 256 MiB: a few bytes of PNG can claim far more. */
const MAX_PIXELS = 2 ** 26;

/**
 * Decodes a PNG of any colour type and depth.
 *
 * @param bytes the whole file
 * @param file its name, for errors
 * @throws {DataError} if it is not a PNG, is damaged, or has more than 2^26 pixels
 */
export function decodePng(bytes: Uint8Array, file: string): RgbaImage {
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) throw new DataError(`${file}: not a PNG image`);
  if (bytes.length < 33) throw new DataError(`${file}: a PNG cut short after ${bytes.length} bytes`);
  const header = new DataView(bytes.buffer, bytes.byteOffset);
  const width = header.getUint32(16);
  const height = header.getUint32(20);
  if (width * height > MAX_PIXELS) {
    throw new DataError(`${file}: ${width} x ${height} pixels, expected at most ${MAX_PIXELS} in all`);
  }
  try {
    return { width, height, rgba: toRgba(decode(bytes, { checkCrc: true })) };
  } catch (error) {
    throw new DataError(`${file}: a damaged PNG: ${reason(error)}`, { cause: error });
  }
}

/** Pixels as they come from the file: one after the other, `channels` values each, of which the largest is `largest`. */
interface Pixels {
  readonly values: ArrayLike<number>;
  readonly channels: number;
  readonly largest: number;
}

function pixelsOf(png: DecodedPng): Pixels {
  const { depth, channels, data } = png;
  if (png.palette) return { values: convertIndexedToRgb(png), channels: png.palette[0].length, largest: 255 };
  if (depth >= 8) return { values: data, channels, largest: 2 ** depth - 1 };
  // Several greys share a byte, as indices into a palette do.
  const largest = 2 ** depth - 1;
  const palette = Array.from({ length: largest + 1 }, (_, grey) => [grey]);
  return { values: convertIndexedToRgb({ ...png, palette }), channels: 1, largest };
}

/** Where a grey or a colour has no alpha of its own, one of them may stand for full transparency (the chunk tRNS). */
function toRgba(png: DecodedPng): Uint8Array {
  const { values, channels, largest } = pixelsOf(png);
  const count = png.width * png.height;
  if (values.length !== count * channels) throw new Error(`${values.length / channels} of ${count} pixels`);
  if (channels === 4 && values instanceof Uint8Array) return values;
  const colours = channels < 3 ? 1 : 3;
  const hidden = channels === colours ? png.transparency : undefined;
  const scale = 255 / largest;
  const rgba = new Uint8Array(4 * count).fill(255);
  for (let pixel = 0; pixel < count; pixel++) {
    const from = pixel * channels;
    let isHidden = hidden !== undefined;
    for (let c = 0; c < 3; c++) {
      const value = values[from + Math.min(c, colours - 1)];
      rgba[4 * pixel + c] = Math.round(value * scale);
      isHidden &&= value === hidden![Math.min(c, colours - 1)];
    }
    if (channels > colours) rgba[4 * pixel + 3] = Math.round(values[from + colours] * scale);
    else if (isHidden) rgba[4 * pixel + 3] = 0;
  }
  return rgba;
}
