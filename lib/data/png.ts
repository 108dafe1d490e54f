/**
 * Reads PNG files with imagescript, after the checks that it leaves to its caller.
 *
 * @module
 */

import { Image } from "imagescript";
import { DataError } from "../errors.ts";
import { reason } from "./files.ts";

/** A decoded image. */
export interface RgbaImage {
  /** Columns. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Values 0 to 255, shape `[height, width, 4]`, red green blue alpha, alpha not multiplied in. */
  readonly rgba: Uint8ClampedArray;
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
export async function decodePng(bytes: Uint8Array, file: string): Promise<RgbaImage> {
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) throw new DataError(`${file}: not a PNG image`);
  if (bytes.length < 33) throw new DataError(`${file}: a PNG cut short after ${bytes.length} bytes`);
  const header = new DataView(bytes.buffer, bytes.byteOffset);
  const width = header.getUint32(16);
  const height = header.getUint32(20);
  if (width * height > MAX_PIXELS) {
    throw new DataError(`${file}: ${width} x ${height} pixels, expected at most ${MAX_PIXELS} in all`);
  }
  try {
    const image = await Image.decode(bytes);
    return { width: image.width, height: image.height, rgba: image.bitmap };
  } catch (error) {
    throw new DataError(`${file}: a damaged PNG: ${reason(error)}`, { cause: error });
  }
}
