/**
 * Dimensions that an image's header claims, before anything else of the file is read.
 *
 * @module
 */
import { DataError } from "../../errors.ts";
import { type ImageFormat, imageFormat } from "./content.ts";
import type { Dimensions } from "./dimensions.ts";
import { gifDimensions } from "./gif.ts";
import { jpegDimensions } from "./jpeg.ts";
import { pngDimensions } from "./png.ts";
import { webpDimensions } from "./webp.ts";

/** Bytes in which a JPEG's frame header is looked for; metadata of cameras comes before it. */
const HEADER_BYTES = 2 ** 20;

const READERS: Readonly<Record<ImageFormat, (bytes: Uint8Array, file: string) => Dimensions>> = {
  png: pngDimensions,
  jpeg: jpegDimensions,
  webp: webpDimensions,
  gif: gifDimensions,
};

/**
 * Dimensions that a PNG, JPEG, WebP or GIF claims to have; undefined where no header is found. They are not checked: decoding may find that
 * they are too large, or that the file is damaged.
 */
export function claimedDimensions(bytes: Uint8Array): Dimensions | undefined {
  const format = imageFormat(bytes);
  try {
    return format && READERS[format](bytes.subarray(0, HEADER_BYTES), format);
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}
