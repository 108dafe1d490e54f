/**
 * Limits on image dimensions, checked before decoding: a PNG of one megabyte can inflate to gigabytes.
 *
 * @module
 */

import { DataError } from "../../errors.ts";

/** Limit on the width and height of an image in pixels. */
const MAX_SIDE = 16_384;
/** Limit on the pixels of an image; 256 MiB as RGBA. */
export const MAX_PIXELS: number = 2 ** 26;

/** Dimensions of an image in pixels. */
export interface Dimensions {
  /** Width in pixels. */
  readonly width: number;
  /** Height in pixels. */
  readonly height: number;
}

/**
 * Checks the dimensions in an image's header.
 *
 * @param file file name for errors
 * @param maxPixels limit on the pixels
 * @throws {DataError} if a side is 0 or above {@link MAX_SIDE}, or there are more than `maxPixels` pixels
 */
export function checkDimensions(
  { width, height }: Dimensions,
  file: string,
  maxPixels: number = MAX_PIXELS,
): void {
  if (width === 0 || height === 0) {
    throw new DataError(`${file}: ${width} x ${height} pixels, expected at least 1 x 1`);
  }
  if (width > MAX_SIDE || height > MAX_SIDE || width * height > maxPixels) {
    throw new DataError(
      `${file}: ${width} x ${height} pixels, expected at most ${MAX_SIDE} a side and ${maxPixels} in all`,
    );
  }
}
