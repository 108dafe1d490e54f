/**
 * PNG files (W3C "Portable Network Graphics, third edition"): RGB pixels and text metadata.
 *
 * Pixels go through imagescript's PNG modules; they are loaded on first use and need no native code. Text chunks are
 * written and read here, because imagescript writes its own (with the time of day, so that no two files would be
 * equal) and reads none.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { ConfigError, DataError } from "../errors.ts";

/** A decoded PNG. */
export interface DecodedPng {
  /** Width in pixels. */
  width: number;
  /** Height in pixels. */
  height: number;
  /** RGB bytes, `[height, width, 3]`; transparency is laid over white. */
  rgb: Uint8Array;
  /** Text by keyword, from tEXt and uncompressed iTXt chunks; the first wins where a keyword repeats. */
  text: Record<string, string>;
}

/** Longest side in pixels; what 32-bit readers in common use accept, too. */
const MAX_SIDE = 65_535;
/** Most pixels in one picture, so that a damaged header cannot ask for all memory. */
const MAX_PIXELS = 2 ** 27;
const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const IHDR_LENGTH = 13;
/** Length, type and CRC: what a chunk has around its data. */
const CHUNK_OVERHEAD = 12;

interface Chunk {
  type: string;
  data: Uint8Array;
}

/**
 * Encodes an RGB picture as a PNG. Equal input gives equal bytes.
 *
 * @param rgb bytes, `[height, width, 3]`
 * @param width in pixels, 1 to 65535
 * @param height in pixels, 1 to 65535
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
 * Decodes a PNG of any colour type into RGB.
 *
 * @param bytes the file's bytes
 * @returns size, pixels and text
 * @throws {DataError} if the bytes are not a PNG, are cut short or fail a checksum
 */
export async function decodePng(bytes: Uint8Array): Promise<DecodedPng> {
  const chunks = readChunks(bytes);
  const header = chunks[0];
  if (header?.type !== "IHDR" || header.data.length !== IHDR_LENGTH) {
    throw new DataError("PNG: no IHDR chunk at byte 8");
  }
  const size = new DataView(header.data.buffer, header.data.byteOffset, IHDR_LENGTH);
  const width = size.getUint32(0);
  const height = size.getUint32(4);
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS) {
    throw new DataError(
      `PNG: ${width} x ${height} pixels; up to ${MAX_SIDE} a side and ${MAX_PIXELS} in all are read`,
    );
  }

  const { default: codec } = await import("imagescript/wasm/node/png.js");
  let rgba: Uint8Array;
  try {
    rgba = (await codec.init()).decode(bytes).framebuffer;
  } catch (error) {
    throw new DataError(`PNG: pixel data of the ${width} x ${height} picture is damaged`, { cause: error });
  }

  const text = new Map<string, string>();
  for (const chunk of chunks) {
    const entry = decodeText(chunk);
    if (entry && !text.has(entry[0])) text.set(...entry);
  }
  return { width, height, rgb: overWhite(rgba), text: Object.fromEntries(text) };
}

/** Throws unless a picture of this size can be written. */
export function checkSize(width: number, height: number): void {
  for (const [field, side] of [["width", width], ["height", height]] as const) {
    if (!Number.isInteger(side) || side < 1 || side > MAX_SIDE) {
      throw new ConfigError(field, side, `a whole number of pixels from 1 to ${MAX_SIDE}`);
    }
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

function decodeText(chunk: Chunk): [string, string] | undefined {
  const { type, data } = chunk;
  if (type !== "tEXt" && type !== "iTXt") return undefined;
  const keywordEnd = data.indexOf(0);
  if (keywordEnd < 1) return undefined;
  const keyword = fromLatin1(data.subarray(0, keywordEnd));
  if (type === "tEXt") return [keyword, fromLatin1(data.subarray(keywordEnd + 1))];
  const compressed = data[keywordEnd + 1] !== 0;
  const languageEnd = data.indexOf(0, keywordEnd + 3);
  const translationEnd = data.indexOf(0, languageEnd + 1);
  if (compressed || languageEnd < 0 || translationEnd < 0) return undefined;
  return [keyword, new TextDecoder().decode(data.subarray(translationEnd + 1))];
}

function readChunks(bytes: Uint8Array): Chunk[] {
  if (SIGNATURE.some((byte, index) => bytes[index] !== byte)) {
    throw new DataError("PNG: wrong signature at byte 0");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks: Chunk[] = [];
  let start = SIGNATURE.length;
  while (chunks.at(-1)?.type !== "IEND") {
    const length = start + CHUNK_OVERHEAD <= bytes.length ? view.getUint32(start) : Infinity;
    const end = start + CHUNK_OVERHEAD + length;
    if (end > bytes.length) throw new DataError(`PNG: cut short, the chunk at byte ${start} is not complete`);
    const type = fromLatin1(bytes.subarray(start + 4, start + 8));
    if (crc32(bytes.subarray(start + 4, end - 4)) !== view.getUint32(end - 4)) {
      throw new DataError(`PNG: checksum of the ${type} chunk at byte ${start} is wrong`);
    }
    chunks.push({ type, data: bytes.subarray(start + 8, end - 4) });
    start = end;
  }
  return chunks;
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

/** The bytes of a text in ISO 8859-1, or undefined if it has characters beyond that. */
function latin1(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) return undefined;
    bytes[i] = code;
  }
  return bytes;
}

/** The web's "latin1" decoder is windows-1252, which differs from 0x80 to 0x9f. */
function fromLatin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function overWhite(rgba: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(rgba.length / 4 * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const alpha = rgba[from + 3];
    for (let channel = 0; channel < 3; channel++) {
      rgb[to++] = Math.round((rgba[from + channel] * alpha + 255 * (255 - alpha)) / 255);
    }
  }
  return rgb;
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
