/**
 * Decoding of the files of an edit.
 *
 * @module
 */
import { decodeImage } from "../../lib/data/decode/decode.ts";
import { DataError } from "../../lib/errors.ts";
import { imageForEdit, maskOfPicture } from "../../lib/sampling/edits/picture.ts";
import { type DecodedEdit, type EditFiles, type EditFilesJob, PictureError } from "./decoder.ts";
import { MAX_UPLOAD_PIXELS } from "./limits.ts";

/**
 * Decodes the files of an edit.
 *
 * @throws {PictureError} naming the file that is no picture, damaged or too large, or the mask of another size or without effect
 */
export async function decodeEdit({ image, mask, channels, ...size }: EditFilesJob): Promise<DecodedEdit> {
  const picture = await naming("image", () => decodeImage(image, "image", MAX_UPLOAD_PIXELS));
  const decoded = mask && await naming("mask", async () => {
    const over = await decodeImage(mask, "mask", MAX_UPLOAD_PIXELS);
    return maskOfPicture(over, picture, size, { file: "mask", mark: "transparent" });
  });
  return { image: imageForEdit(picture, size, channels), ...(decoded ? { mask: decoded } : {}) };
}

/** Converts errors of a file to those that name its field. */
async function naming<T>(field: keyof EditFiles, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DataError) throw new PictureError(field, error.message);
    throw error;
  }
}
