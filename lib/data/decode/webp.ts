/**
 * WebP validation (RFC 9649) before decoding: libwebp trusts the dimensions in the header and does not explain its
 * errors.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { checkDimensions, type Dimensions } from "./dimensions.ts";
import { exifOrientation, type Orientation } from "./orientation.ts";

/** A WebP's picture: the whole file, or the first frame of an animation. */
export interface WebpPicture {
  /** A still WebP. */
  readonly still: Uint8Array<ArrayBuffer>;
  /** Size of the animation's canvas, and the frame's place on it; undefined for a still image. */
  readonly canvas?: Dimensions & { readonly left: number; readonly top: number };
}

/**
 * Finds the picture of a WebP and checks its dimensions.
 *
 * @param bytes the whole file; begins with the WebP signature
 * @param file file name for errors
 * @param maxPixels limit on the pixels, checked in the header
 * @throws {DataError} if it is cut short or damaged, has no pixels or too many
 */
export function readWebp(bytes: Uint8Array<ArrayBuffer>, file: string, maxPixels?: number): WebpPicture {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 8 + view.getUint32(4, true);
  if (end > bytes.length) {
    throw new DataError(`${file}: a WebP cut short: ${bytes.length} bytes of ${end}`);
  }
  let extended: Dimensions | undefined;
  for (const { name, at, length } of chunksOf(bytes, 12, end)) {
    if (name === "VP8X" && length >= 10) {
      extended = canvas(view, at);
      checkDimensions(extended, file, maxPixels);
    }
    if (name === "ANMF" && extended && length >= FRAME_HEADER_BYTES) {
      return firstFrame(bytes.subarray(at, at + length), extended, file);
    }
    const dimensions = readBitstream(name, view, at, length);
    if (dimensions) {
      checkDimensions(dimensions, file, maxPixels);
      return { still: bytes };
    }
  }
  throw new DataError(`${file}: a damaged WebP: no image in it`);
}

/** Bytes before a frame's chunks: place, size, duration and flags (RFC 9649, section 2.7.1.1). */
const FRAME_HEADER_BYTES = 16;

/** A frame of an animation as a still image, its canvas being the frame. */
function firstFrame(frame: Uint8Array<ArrayBuffer>, whole: Dimensions, file: string): WebpPicture {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const place = (at: number) => 2 * (view.getUint16(at, true) | view.getUint8(at + 2) << 16);
  const [left, top] = [place(0), place(3)];
  const { width, height } = canvas(view, 2); // which is followed by the frame's, as in the extended header
  const chunks = [...chunksOf(frame, FRAME_HEADER_BYTES, frame.length)];
  const image = chunks.find(({ name }) => name === "VP8 " || name === "VP8L");
  const found = image && readBitstream(image.name, view, image.at, image.length);
  const isInside = left + width <= whole.width && top + height <= whole.height;
  if (!found || !isInside || found.width !== width || found.height !== height) {
    throw new DataError(
      `${file}: a damaged WebP: its first frame does not fit its ${whole.width} x ${whole.height} pixels`,
    );
  }
  const hasAlpha = chunks.some(({ name }) => name === "ALPH");
  const header = new Uint8Array(12 + 18);
  header.set(new TextEncoder().encode("RIFF    WEBPVP8X"));
  const to = new DataView(header.buffer);
  to.setUint32(4, header.length - 8 + frame.length - FRAME_HEADER_BYTES, true);
  to.setUint32(16, 10, true);
  to.setUint8(20, hasAlpha || image!.name === "VP8L" ? ALPHA : 0);
  header.set(frame.subarray(6, 12), 24); // width - 1 and height - 1
  const still = new Uint8Array(header.length + frame.length - FRAME_HEADER_BYTES);
  still.set(header);
  still.set(frame.subarray(FRAME_HEADER_BYTES), header.length);
  return { still, canvas: { ...whole, left, top } };
}

/** Flag of the extended header. */
const ALPHA = 0x10;

/** A chunk of a file. */
interface Chunk {
  readonly name: string;
  /** Position of its data. */
  readonly at: number;
  readonly length: number;
}

/** Whole chunks between two positions. */
function* chunksOf(bytes: Uint8Array, from: number, end: number): Generator<Chunk> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = from; at + 8 <= end;) {
    const length = view.getUint32(at + 4, true);
    if (at + 8 + length > end) return;
    yield { name: chunkName(bytes, at), at: at + 8, length };
    at += 8 + length + length % 2;
  }
}

/** Orientation by the EXIF chunk of a WebP that {@linkcode readWebp} has checked. */
export function webpOrientation(bytes: Uint8Array): Orientation {
  for (const { name, at, length } of chunksOf(bytes, 12, bytes.length)) {
    if (name === "EXIF") return exifOrientation(bytes.subarray(at, at + length));
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
