/**
 * Limits on the dimensions of images to decode, checked before anything is decoded: a megabyte of PNG can claim, and
 * inflate to, gigabytes.
 *
 * @module
 */

import { DataError } from "../../errors.ts";

/** Most columns, and most rows, of an image. */
const MAX_SIDE = 16_384;
/** Most pixels of an image, 256 MiB once decoded. */
export const MAX_PIXELS: number = 2 ** 26;

/** Width and height in pixels. */
export interface Dimensions {
  /** Columns. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/**
 * Checks the dimensions that an image's header claims.
 *
 * @param file its name, for errors
 * @throws {DataError} if a side is 0 or above {@link MAX_SIDE}, or there are more than {@link MAX_PIXELS} pixels
 */
export function checkDimensions({ width, height }: Dimensions, file: string): void {
  if (width === 0 || height === 0) {
    throw new DataError(`${file}: ${width} x ${height} pixels, expected at least 1 x 1`);
  }
  if (width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS) {
    throw new DataError(
      `${file}: ${width} x ${height} pixels, expected at most ${MAX_SIDE} a side and ${MAX_PIXELS} in all`,
    );
  }
}
