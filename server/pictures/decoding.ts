/**
 * Decoding of the files of an edit.
 *
 * @module
 */
import { decodeImage, type RgbaImage } from "../../lib/data/decode/decode.ts";
import { DataError } from "../../lib/errors.ts";
import { imageForEdit, maskForEdit } from "../../lib/sampling/edits/picture.ts";
import { type DecodedEdit, type EditFiles, type EditFilesJob, PictureError } from "./decoder.ts";

/** Limit on the pixels of an uploaded picture, 64 MiB as RGBA; a photograph of a phone has 12 million. */
export const MAX_UPLOAD_PIXELS = 2 ** 24;

/**
 * Decodes the files of an edit.
 *
 * @throws {PictureError} naming the file that is no picture, damaged or too large, or the mask of another size
 */
export async function decodeEdit({ image, mask, channels, ...size }: EditFilesJob): Promise<DecodedEdit> {
  const picture = await decode(image, "image");
  if (!mask) return { image: imageForEdit(picture, size, channels) };
  const over = await decode(mask, "mask");
  if (over.width !== picture.width || over.height !== picture.height) {
    const sizes = [over, picture].map(({ width, height }) => `${width} x ${height} pixels`);
    throw new PictureError("mask", `mask: ${sizes[0]}, expected ${sizes[1]} as the image has`);
  }
  const decoded = maskForEdit(over, size, "transparent");
  if (decoded.every((value) => value === 0)) {
    const detail = "nothing in it is transparent, and the image is drawn anew where the mask is";
    throw new PictureError("mask", `mask: ${detail}`);
  }
  return { image: imageForEdit(picture, size, channels), mask: decoded };
}

async function decode(bytes: Uint8Array<ArrayBuffer>, field: keyof EditFiles): Promise<RgbaImage> {
  try {
    return await decodeImage(bytes, field, MAX_UPLOAD_PIXELS);
  } catch (error) {
    if (error instanceof DataError) throw new PictureError(field, error.message);
    throw error;
  }
}
