/**
 * Image decoder: PNG, JPEG and WebP, recognised by content, to RGBA.
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
import { readJpegHeader } from "./jpeg.ts";
import { plainPng } from "./png.ts";
import { readWebpHeader } from "./webp.ts";

/** A decoded image. */
export interface RgbaImage extends Dimensions {
  /** RGBA values 0 to 255, shape `[height, width, 4]`; alpha is not premultiplied. */
  readonly rgba: Uint8Array | Uint8ClampedArray;
}

const DECODERS: Readonly<
  Record<ImageFormat, (...file: Parameters<typeof decodeImage>) => Promise<RgbaImage>>
> = { png: decodePng, jpeg: decodeJpeg, webp: decodeWebp };

/**
 * Decodes a PNG of any kind, a JPEG (grey, colour or CMYK; its EXIF orientation is applied) or a still WebP, regardless
 * of the file's name. Colour profiles are ignored.
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
): Promise<RgbaImage> {
  const format = imageFormat(bytes);
  if (format === undefined) {
    const found = describeContent(bytes.subarray(0, HEAD_BYTES));
    throw new DataError(`${file}: ${found}; expected a PNG, JPEG or WebP image`);
  }
  return await DECODERS[format](bytes, file, maxPixels);
}

async function decodePng(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  maxPixels?: number,
): Promise<RgbaImage> {
  const plain = plainPng(bytes, file, maxPixels);
  await pngReady;
  try {
    return rgbaImage(await decodePngPixels(plain.bytes.buffer));
  } catch (error) {
    // The decoder gives no reason; everything else has been checked.
    throw new DataError(`${file}: a damaged PNG: its rows of pixels cannot be decoded`, { cause: error });
  }
}

async function decodeJpeg(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  maxPixels?: number,
): Promise<RgbaImage> {
  const { components } = readJpegHeader(bytes, file, maxPixels);
  if (components === 4) return decodeCmyk(bytes, file);
  warnings.length = 0;
  try {
    return rgbaImage(await decodeJpegPixels(exactBuffer(bytes), { preserveOrientation: true }));
  } catch (error) {
    startJpeg(); // libjpeg exits at an error
    throw new DataError(`${file}: a damaged JPEG: ${warnings.at(-1) ?? reason(error)}`, { cause: error });
  }
}

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
function decodeCmyk(bytes: Uint8Array, file: string): RgbaImage {
  const limits = { maxResolutionInMP: MAX_PIXELS / 1e6, maxMemoryUsageInMB: 2048 };
  try {
    return rgbaImage(cmykDecoder.decode(bytes, { useTArray: true, tolerantDecoding: false, ...limits }));
  } catch (error) {
    throw new DataError(`${file}: a damaged JPEG: ${reason(error)}`, { cause: error });
  }
}

async function decodeWebp(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  maxPixels?: number,
): Promise<RgbaImage> {
  readWebpHeader(bytes, file, maxPixels);
  try {
    return rgbaImage(await decodeWebpPixels(exactBuffer(bytes)));
  } catch (error) {
    throw new DataError(`${file}: a damaged WebP: its pixels cannot be decoded`, { cause: error });
  }
}

function rgbaImage(
  { width, height, data }: Dimensions & { readonly data: ArrayLike<number> },
): RgbaImage {
  return { width, height, rgba: data as RgbaImage["rgba"] };
}

function exactBuffer(bytes: Uint8Array<ArrayBuffer>): ArrayBuffer {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}
