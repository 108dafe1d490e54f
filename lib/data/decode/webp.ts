/**
 * WebP validation (RFC 9649) before decoding: libwebp trusts the dimensions in the header and does not explain its
 * errors.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { checkDimensions, type Dimensions } from "./dimensions.ts";
import { exifOrientation, type Orientation } from "./orientation.ts";

/**
 * Reads the dimensions of a still WebP.
 *
 * @param bytes the whole file; begins with the WebP signature
 * @param file file name for errors
 * @param maxPixels limit on the pixels, checked in the header
 * @throws {DataError} if it is cut short, damaged or animated, has no pixels or too many
 */
export function readWebpHeader(bytes: Uint8Array, file: string, maxPixels?: number): Dimensions {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 8 + view.getUint32(4, true);
  if (end > bytes.length) {
    throw new DataError(`${file}: a WebP cut short: ${bytes.length} bytes of ${end}`);
  }
  for (let at = 12; at + 8 <= end;) {
    const name = chunkName(bytes, at);
    const length = view.getUint32(at + 4, true);
    const data = at + 8;
    if (data + length > end) break;
    if (name === "VP8X" && length >= 10) checkExtended(view, data, file, maxPixels);
    const dimensions = readBitstream(name, view, data, length);
    if (dimensions) {
      checkDimensions(dimensions, file, maxPixels);
      return dimensions;
    }
    at = data + length + length % 2;
  }
  throw new DataError(`${file}: a damaged WebP: no image in it`);
}

/** Orientation by the EXIF chunk of a WebP that {@linkcode readWebpHeader} has checked. */
export function webpOrientation(bytes: Uint8Array): Orientation {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    if (chunkName(bytes, at) === "EXIF") return exifOrientation(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length + length % 2;
  }
  return 1;
}

/**
 * Dimensions in the first chunk of a WebP; nothing after it is read or checked.
 *
 * @throws {DataError} if it begins with another chunk than an image or the extended header
 */
export function webpDimensions(bytes: Uint8Array, file: string): Dimensions {
  const first = 12;
  if (bytes.length >= first + 8 + 10) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const name = chunkName(bytes, first);
    const dimensions = name === "VP8X" ? canvas(view, first + 8) : readBitstream(name, view, first + 8, 10);
    if (dimensions) return dimensions;
  }
  throw new DataError(`${file}: a damaged WebP: it does not begin with an image`);
}

function chunkName(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

/** Checks the extended header. */
function checkExtended(view: DataView, at: number, file: string, maxPixels?: number): void {
  const ANIMATION = 0x02;
  if (view.getUint8(at) & ANIMATION) {
    throw new DataError(`${file}: an animated WebP, expected a still image`);
  }
  checkDimensions(canvas(view, at), file, maxPixels);
}

/** Dimensions in the extended header: flags, then canvas width - 1 and height - 1 in 24 bits each. */
function canvas(view: DataView, at: number): Dimensions {
  const side = (from: number) => 1 + (view.getUint16(from, true) | view.getUint8(from + 2) << 16);
  return { width: side(at + 4), height: side(at + 7) };
}

/** Dimensions from a lossy (VP8, RFC 6386) or lossless (VP8L) bitstream; undefined for other chunks. */
function readBitstream(name: string, view: DataView, at: number, length: number): Dimensions | undefined {
  if (name === "VP8 " && length >= 10) {
    return { width: view.getUint16(at + 6, true) & 0x3fff, height: view.getUint16(at + 8, true) & 0x3fff };
  }
  if (name === "VP8L" && length >= 5) {
    const bits = view.getUint32(at + 1, true);
    return { width: 1 + (bits & 0x3fff), height: 1 + (bits >>> 14 & 0x3fff) };
  }
  return undefined;
}
