/**
 * Image decoder: PNG, JPEG, WebP and GIF, of animations the first frame, recognised by content, to RGBA.
 *
 * @module
 */

import decodeJpegPixels, { init as initJpeg } from "@jsquash/jpeg/decode.js";
import decodePngPixels, { init as initPng } from "@jsquash/png/decode.js";
import decodeWebpPixels, { init as initWebp } from "@jsquash/webp/decode.js";
import cmykDecoder from "jpeg-js";
import { DataError } from "../../errors.ts";
import { reason } from "../files.ts";
import { jpegModule, pngModule, webpModule } from "./codecs.js";
import { describeContent, HEAD_BYTES, type ImageFormat, imageFormat } from "./content.ts";
import { type Dimensions, MAX_PIXELS } from "./dimensions.ts";
import { decodeGif } from "./gif.ts";
import { readJpegHeader } from "./jpeg.ts";
import { type Orientation, turnUpright } from "./orientation.ts";
import { plainPng } from "./png.ts";
import { readWebp, webpOrientation, type WebpPicture } from "./webp.ts";

/** What a file has that an RGB image of 8 bits has not, or the reverse. */
export type ImageTrait = "grey" | "palette" | "16 bits" | "CMYK" | "transparent" | "turned";

/** A decoded image. */
export interface RgbaImage extends Dimensions {
  /** RGBA values 0 to 255, shape `[height, width, 4]`; alpha is not premultiplied. */
  readonly rgba: Uint8Array | Uint8ClampedArray;
}

/** A decoded image with what its file had. */
export interface DecodedRgba extends RgbaImage {
  /** Converted on decoding. */
  readonly traits: readonly ImageTrait[];
}

const DECODERS: Readonly<
  Record<ImageFormat, (...file: Parameters<typeof decodeImage>) => Promise<DecodedRgba>>
> = { png: decodePng, jpeg: decodeJpeg, webp: decodeWebp, gif: decodeFirstFrame };

/**
 * Decodes a PNG of any kind, a JPEG (grey, colour or CMYK), a WebP or a GIF (of an animation the first frame), regardless of the
 * file's name. EXIF's orientation is applied; colour profiles are ignored.
 *
 * @param bytes the whole file
 * @param file file name for errors
 * @param maxPixels limit on the pixels, checked before decoding; default {@link MAX_PIXELS}
 * @throws {DataError} if the format is not supported, the file is cut short or damaged, or its dimensions are too large
 */
export async function decodeImage(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  maxPixels?: number,
): Promise<DecodedRgba> {
  const format = imageFormat(bytes);
  if (format === undefined) {
    const found = describeContent(bytes.subarray(0, HEAD_BYTES));
    throw new DataError(`${file}: ${found}; expected a PNG, JPEG, WebP or GIF image`);
  }
  return await DECODERS[format](bytes, file, maxPixels);
}

async function decodePng(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  maxPixels?: number,
): Promise<DecodedRgba> {
  const plain = plainPng(bytes, file, maxPixels);
  await pngReady;
  try {
    return upright(await decodePngPixels(plain.bytes.buffer), plain.orientation, plain.traits);
  } catch (error) {
    // The decoder gives no reason; everything else has been checked.
    throw new DataError(`${file}: a damaged PNG: its rows of pixels cannot be decoded`, { cause: error });
  }
}

async function decodeJpeg(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  maxPixels?: number,
): Promise<DecodedRgba> {
  const { components, orientation } = readJpegHeader(bytes, file, maxPixels);
  if (components === 4) return decodeCmyk(bytes, file, orientation);
  warnings.length = 0;
  try {
    const image = await decodeJpegPixels(exactBuffer(bytes), { preserveOrientation: false });
    const missing = warnings.find((line) => MISSING_PIXELS.test(line));
    if (missing !== undefined) throw new DataError(`${file}: a damaged JPEG: ${missing}`);
    return upright(image, orientation, components === 1 ? ["grey"] : []);
  } catch (error) {
    if (error instanceof DataError) throw error;
    startJpeg(); // libjpeg exits at an error
    throw new DataError(`${file}: a damaged JPEG: ${warnings.at(-1) ?? reason(error)}`, { cause: error });
  }
}

/** Warning of libjpeg where a part of the picture is not there, which it fills with grey. */
const MISSING_PIXELS = /premature end of data segment/i;

/** Standard error of libjpeg for the current image. */
const warnings: string[] = [];

/** Starts the only instance of the JPEG decoder; each would take 16 MiB. */
function startJpeg(): void {
  void initJpeg({
    printErr: (line: string) => warnings.push(line),
    instantiateWasm: instantiate(jpegModule),
  });
}
startJpeg();
void initWebp({ instantiateWasm: instantiate(webpModule) });
const pngReady = initPng(pngModule);

/** Emscripten's `instantiateWasm` hook for a compiled module. */
function instantiate(module: WebAssembly.Module) {
  return (imports: WebAssembly.Imports, onInstance: (instance: WebAssembly.Instance) => void) => {
    const instance = new WebAssembly.Instance(module, imports);
    onInstance(instance);
    return instance.exports;
  };
}

/** Decodes CMYK, the one colour model that mozjpeg does not convert to RGB. */
function decodeCmyk(bytes: Uint8Array, file: string, orientation: Orientation): DecodedRgba {
  const limits = { maxResolutionInMP: MAX_PIXELS / 1e6, maxMemoryUsageInMB: 2048 };
  try {
    const image = cmykDecoder.decode(bytes, { useTArray: true, tolerantDecoding: false, ...limits });
    return upright(image, orientation, ["CMYK"]);
  } catch (error) {
    throw new DataError(`${file}: a damaged JPEG: ${reason(error)}`, { cause: error });
  }
}

async function decodeWebp(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  maxPixels?: number,
): Promise<DecodedRgba> {
  const { still, canvas } = readWebp(bytes, file, maxPixels);
  try {
    const image = await decodeWebpPixels(exactBuffer(still));
    return upright(canvas ? onCanvas(image, canvas) : image, webpOrientation(bytes));
  } catch (error) {
    throw new DataError(`${file}: a damaged WebP: its pixels cannot be decoded`, { cause: error });
  }
}

/** An animation's frame on its canvas, which is transparent around it. */
function onCanvas(
  frame: Dimensions & { readonly data: ArrayLike<number> },
  { width, height, left, top }: NonNullable<WebpPicture["canvas"]>,
): Dimensions & { readonly data: Uint8ClampedArray } {
  const data = new Uint8ClampedArray(4 * width * height);
  const pixels = frame.data as RgbaImage["rgba"];
  for (let y = 0; y < frame.height; y++) {
    const row = pixels.subarray(4 * y * frame.width, 4 * (y + 1) * frame.width);
    data.set(row, 4 * ((top + y) * width + left));
  }
  return { width, height, data };
}

function decodeFirstFrame(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  maxPixels?: number,
): Promise<DecodedRgba> {
  return Promise.resolve(rgbaImage(decodeGif(bytes, file, maxPixels)));
}

/** The image turned upright. */
function upright(
  { width, height, data }: Dimensions & { readonly data: ArrayLike<number> },
  orientation: Orientation,
  traits: readonly ImageTrait[] = [],
): DecodedRgba {
  const image = { width, height, data: data as RgbaImage["rgba"] };
  return rgbaImage(turnUpright(image, orientation), orientation === 1 ? traits : [...traits, "turned"]);
}

function rgbaImage(
  { width, height, data }: Dimensions & { readonly data: ArrayLike<number> },
  traits: readonly ImageTrait[] = [],
): DecodedRgba {
  const rgba = data as RgbaImage["rgba"];
  return { width, height, rgba, traits: isOpaque(rgba) ? traits : [...traits, "transparent"] };
}

function isOpaque(rgba: RgbaImage["rgba"]): boolean {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return false;
  return true;
}

function exactBuffer(bytes: Uint8Array<ArrayBuffer>): ArrayBuffer {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}
