/**
 * First frame of a GIF (GIF89a specification), checked block by block before decoding: the decoder trusts the sizes in the headers,
 * and leaves out what is missing at the end.
 *
 * @module
 */

import { GifReader } from "omggif";
import { DataError } from "../../errors.ts";
import { reason } from "../files.ts";
import { checkDimensions, type Dimensions } from "./dimensions.ts";

/** Signature and logical screen descriptor. */
const HEADER_BYTES = 13;
const EXTENSION = 0x21;
const IMAGE = 0x2c;

/** The first frame before its decoding. */
interface FirstFrame {
  /** Position of its data, which begin with the code size. */
  readonly data: number;
  /** Position after its data. */
  readonly end: number;
  readonly pixels: number;
}

/**
 * Decodes the first frame on its canvas; what the frame leaves free is transparent.
 *
 * @param bytes the whole file; begins with the GIF signature
 * @param file file name for errors
 * @param maxPixels limit on the pixels, checked in the header
 * @returns RGBA values of the canvas
 * @throws {DataError} if the frame is cut short or damaged, or the canvas has no pixels or too many
 */
export function decodeGif(
  bytes: Uint8Array,
  file: string,
  maxPixels?: number,
): Dimensions & { readonly data: Uint8Array } {
  const dimensions = gifDimensions(bytes, file);
  checkDimensions(dimensions, file, maxPixels);
  const { end, data: packed, pixels } = findFirstFrame(bytes, dimensions, file);
  const { width, height } = dimensions;
  const data = new Uint8Array(4 * width * height);
  // The decoder fills missing pixels with the first colour.
  if (unpackedLength(bytes, packed) < pixels) {
    throw new DataError(`${file}: a damaged GIF: it has fewer pixels than its frame`);
  }
  try {
    // Only the first frame: others may be damaged, and are not needed.
    const reader = new GifReader(withTrailer(bytes.subarray(0, end)));
    reader.decodeAndBlitFrameRGBA(0, data);
  } catch (error) {
    throw new DataError(`${file}: a damaged GIF: ${reason(error)}`, { cause: error });
  }
  return { width, height, data };
}

/**
 * Dimensions of a GIF's canvas.
 *
 * @throws {DataError} if the header is cut short
 */
export function gifDimensions(bytes: Uint8Array, file: string): Dimensions {
  if (bytes.length < HEADER_BYTES) {
    throw new DataError(`${file}: a GIF cut short after ${bytes.length} bytes`);
  }
  return { width: bytes[6]! | bytes[7]! << 8, height: bytes[8]! | bytes[9]! << 8 };
}

function findFirstFrame(bytes: Uint8Array, canvas: Dimensions, file: string): FirstFrame {
  const byte = (at: number): number => {
    const value = bytes[at];
    if (value === undefined) throw new DataError(`${file}: a GIF cut short after ${bytes.length} bytes`);
    return value;
  };
  const word = (at: number) => byte(at) | byte(at + 1) << 8;
  const skipBlocks = (at: number): number => {
    while (byte(at) !== 0) at += 1 + byte(at);
    return at + 1;
  };
  const paletteBytes = (flags: number) => flags & 0x80 ? 3 * 2 ** (1 + (flags & 7)) : 0;
  let at = HEADER_BYTES + paletteBytes(byte(10));
  while (byte(at) !== IMAGE) {
    if (byte(at) !== EXTENSION) throw new DataError(`${file}: a damaged GIF: no image in it`);
    at = skipBlocks(at + 2);
  }
  const [left, top, width, height] = [1, 3, 5, 7].map((offset) => word(at + offset)) as [
    number,
    number,
    number,
    number,
  ];
  if (width === 0 || height === 0 || left + width > canvas.width || top + height > canvas.height) {
    throw new DataError(
      `${file}: a damaged GIF: a frame of ${width} x ${height} at (${left}, ${top}) on ${canvas.width} x ${canvas.height} pixels`,
    );
  }
  const data = at + 10 + paletteBytes(byte(at + 9));
  return { data, end: skipBlocks(data + 1), pixels: width * height };
}

/** Pixels that a frame's LZW codes stand for (GIF89a, appendix F); the blocks are known to be complete. */
function unpackedLength(bytes: Uint8Array, at: number): number {
  const clear = 1 << bytes[at]!; // a byte for the code size, then blocks
  const lengths = new Uint32Array(2 ** 12 + 1).fill(1, 0, clear);
  let [size, next, last, total] = [0, 0, -1, 0];
  let [bits, count] = [0, 0];
  const restart = () => [size, next, last] = [bytes[at]! + 1, clear + 2, -1];
  restart();
  for (let block = at + 1; bytes[block]! > 0; block += 1 + bytes[block]!) {
    for (const byte of bytes.subarray(block + 1, block + 1 + bytes[block]!)) {
      bits |= byte << count;
      count += 8;
      while (count >= size) {
        const code = bits & (1 << size) - 1;
        bits >>>= size;
        count -= size;
        if (code === clear) {
          restart();
          continue;
        }
        if (code === clear + 1 || code > next || (last < 0 && code > clear)) return total;
        if (last >= 0 && next < 2 ** 12) lengths[next++] = lengths[last]! + 1;
        total += lengths[code]!;
        if (next === 1 << size && size < 12) size++;
        last = code;
      }
    }
  }
  return total;
}

function withTrailer(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(bytes.length + 1);
  whole.set(bytes);
  whole[bytes.length] = 0x3b;
  return whole;
}
