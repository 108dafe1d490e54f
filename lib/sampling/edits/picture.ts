/**
 * Pictures of any size as the images and masks of edits.
 *
 * @module
 */
import type { RgbaImage } from "../../data/decode/decode.ts";
import type { Dimensions } from "../../data/decode/dimensions.ts";
import { cropped, frameImage } from "../../data/decode/framing.ts";
import { DataError } from "../../errors.ts";

/**
 * Crops a picture to the centre and resizes it, as training images are; transparency becomes white.
 *
 * @param picture from `decodeImage`
 * @param size of the model's images
 * @param channels of the model's images: 3 (RGB, the default) or 1 (grey)
 * @returns shape [H, W, C], in [-1, 1]
 */
export function imageForEdit(
  picture: RgbaImage,
  size: Dimensions,
  channels: number = 3,
): Float32Array<ArrayBuffer> {
  return Float32Array.from(fitted(picture, size, channels === 1 ? 1 : 3), (value) => value * (2 / 255) - 1);
}

/** Marks in a mask of what is to be drawn anew: white on black, or transparent as in OpenAI's API. */
export type MaskMark = "white" | "transparent";

/**
 * Crops and resizes a mask like the picture that it belongs to.
 *
 * @param picture from `decodeImage`, of the shape of the image's picture
 * @param size of the model's images
 * @param mark what is drawn anew; for `white`, grey blends and transparency counts as white
 * @returns shape [H, W], 1 where the image is drawn anew, 0 where it is kept
 */
export function maskForEdit(
  picture: RgbaImage,
  size: Dimensions,
  mark: MaskMark = "white",
): Float32Array<ArrayBuffer> {
  const marked = mark === "white" ? picture : { ...picture, rgba: whereTransparent(picture.rgba) };
  return Float32Array.from(fitted(marked, size, 1), (value) => value / 255);
}

/**
 * As {@linkcode maskForEdit}, for a mask that somebody made for a picture.
 *
 * @param image size of that picture
 * @param file name of the mask for errors
 * @throws {DataError} for a mask of another size than the picture, with both, and one that marks nothing
 */
export function maskOfPicture(
  picture: RgbaImage,
  image: Dimensions,
  size: Dimensions,
  { file, mark }: { readonly file: string; readonly mark: MaskMark },
): Float32Array<ArrayBuffer> {
  if (picture.width !== image.width || picture.height !== image.height) {
    const [found, expected] = [picture, image].map(({ width, height }) => `${width} x ${height} pixels`);
    throw new DataError(`${file}: ${found}, expected ${expected} as the image has`);
  }
  const mask = maskForEdit(picture, size, mark);
  if (mask.some((value) => value > 0)) return mask;
  const where = isCropped(picture, size)
    ? `the ${size.width} : ${size.height} centre that is used of it`
    : "it";
  throw new DataError(
    `${file}: nothing in ${where} is ${mark}, and the image is drawn anew where the mask is`,
  );
}

/** True if a picture has another shape than the model's images, so that its edges are cut off. */
function isCropped(picture: Dimensions, size: Dimensions): boolean {
  return picture.width * size.height !== picture.height * size.width;
}

function fitted(picture: RgbaImage, size: Dimensions, channels: 1 | 3): Uint8Array {
  const values = new Uint8Array(channels * size.width * size.height);
  frameImage(picture, cropped(size, channels), values);
  return values;
}

/** Black with the given transparency. */
function whereTransparent(rgba: RgbaImage["rgba"]): Uint8Array {
  return Uint8Array.from(rgba, (value, i) => i % 4 === 3 ? value : 0);
}
