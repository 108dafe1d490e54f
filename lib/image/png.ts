/**
 * PNG encoder (W3C "Portable Network Graphics, third edition"): RGB pixels and text metadata.
 *
 * Pixels are encoded by imagescript, which is loaded on first use and needs no native code. Text chunks are written here, because
 * imagescript's contain the current time, so that no two files would be equal.
 *
 * @module
 */

import { checkWhole } from "../checks.ts";
import { ConfigError } from "../errors.ts";
import { crc32 } from "./crc32.ts";

/** Longest side in pixels, which common readers accept. */
const MAX_SIDE = 65_535;
/** Limit on the pixels of a picture, which bounds memory. */
const MAX_PIXELS = 2 ** 27;
const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const IHDR_LENGTH = 13;
/** Length, type and CRC around a chunk's data. */
const CHUNK_OVERHEAD = 12;

/**
 * Encodes an RGB picture as a PNG. Equal input gives equal bytes.
 *
 * @param rgb RGB values 0 to 255, shape `[height, width, 3]`
 * @param width width in pixels, 1 to 65535
 * @param height height in pixels, 1 to 65535; at most 2^27 pixels in all
 * @param text metadata by keyword (1 to 79 Latin-1 characters). A Latin-1 value becomes a tEXt chunk, any other an
 * iTXt chunk (UTF-8).
 * @returns the file's bytes
 * @throws {ConfigError} if a size, a keyword or a value is not allowed
 */
export async function encodePng(
  rgb: Uint8Array,
  width: number,
  height: number,
  text: Record<string, string> = {},
): Promise<Uint8Array> {
  checkSize(width, height);
  if (rgb.length !== width * height * 3) {
    throw new ConfigError("rgb.length", rgb.length, `width x height x 3 = ${width * height * 3}`);
  }
  const textChunks = Object.entries(text).map(([keyword, value]) => encodeText(keyword, value));
  const { default: codec } = await import("imagescript/png/node.js");
  const plain: Uint8Array = codec.encode(rgb, { width, height, channels: 3, level: 6 });

  const afterHeader = SIGNATURE.length + IHDR_LENGTH + CHUNK_OVERHEAD;
  return concatenate([plain.subarray(0, afterHeader), ...textChunks, plain.subarray(afterHeader)]);
}

/**
 * Checks the size of a picture in pixels.
 *
 * @throws {ConfigError} if a side is not 1 to 65535, or there are more than 2^27 pixels
 */
export function checkSize(width: number, height: number): void {
  for (const [field, side] of [["width", width], ["height", height]] as const) {
    checkWhole(field, side, 1, MAX_SIDE);
  }
  if (width * height > MAX_PIXELS) {
    throw new ConfigError("width x height", width * height, `at most ${MAX_PIXELS} pixels in one picture`);
  }
}

function encodeText(keyword: string, value: string): Uint8Array {
  const latin1Keyword = latin1(keyword);
  const spaces = /^ | $| {2}/.test(keyword);
  if (!latin1Keyword || !/^[\x20-\x7e\xa1-\xff]{1,79}$/.test(keyword) || spaces) {
    throw new ConfigError(
      "text keyword",
      keyword,
      "1 to 79 printable Latin-1 characters without leading, trailing or double spaces",
    );
  }
  if (value.includes("\0") || !value.isWellFormed()) {
    throw new ConfigError(`text ${keyword}`, value, "well-formed text without NUL characters");
  }
  const latin1Value = latin1(value);
  if (latin1Value) return encodeChunk("tEXt", concatenate([latin1Keyword, [0], latin1Value]));
  // After the keyword: not compressed, method 0, no language tag, no translated keyword.
  return encodeChunk("iTXt", concatenate([latin1Keyword, [0, 0, 0, 0, 0], new TextEncoder().encode(value)]));
}

function encodeChunk(type: string, data: Uint8Array): Uint8Array {
  const chunk = new Uint8Array(data.length + CHUNK_OVERHEAD);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, data.length);
  chunk.set(latin1(type)!, 4);
  chunk.set(data, 8);
  view.setUint32(chunk.length - 4, crc32(chunk.subarray(4, chunk.length - 4)));
  return chunk;
}

/** Encodes text as ISO 8859-1; undefined if it has other characters. */
function latin1(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) return undefined;
    bytes[i] = code;
  }
  return bytes;
}

function concatenate(parts: ArrayLike<number>[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}
