/**
 * Text of PNG files (W3C "Portable Network Graphics, third edition", 11.3.3): the settings that pictures were drawn with.
 *
 * @module
 */

/** Why a file cannot be read as a PNG; the message is a sentence for the user. */
export class PngError extends Error {}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Most bytes that are read: text comes before the pixels, or is not found. */
const MOST = 2 ** 20;

/**
 * A PNG without its pixels.
 * @typedef {{ width: number, height: number, text: Map<string, string> }} PngFacts size in pixels, and text by keyword
 */

/**
 * Reads size and text of a PNG. Compressed text is left out.
 *
 * @param {Blob} file
 * @returns {Promise<PngFacts>}
 * @throws {PngError}
 */
export async function readPng(file) {
  const bytes = new Uint8Array(await file.slice(0, MOST).arrayBuffer());
  if (SIGNATURE.some((byte, i) => bytes[i] !== byte)) throw new PngError("This file is not a PNG.");
  const view = new DataView(bytes.buffer);
  const text = new Map();
  let size;
  for (let at = SIGNATURE.length; at < file.size; at = at + 12 + view.getUint32(at)) {
    if (at + 8 > bytes.length) break;
    const type = latin1(bytes.subarray(at + 4, at + 8));
    if (type === "IDAT" || type === "IEND") break;
    const end = at + 12 + view.getUint32(at);
    if (end > file.size) throw new PngError("This PNG is damaged: it ends too early.");
    if (end > bytes.length) break;
    if (crc32(bytes.subarray(at + 4, end - 4)) !== view.getUint32(end - 4)) {
      throw new PngError("This PNG is damaged: a checksum is wrong.");
    }
    const data = bytes.subarray(at + 8, end - 4);
    if (type === "IHDR" && data.length === 13) {
      size = { width: view.getUint32(at + 8), height: view.getUint32(at + 12) };
    }
    const entry = type === "tEXt" ? latin1Text(data) : type === "iTXt" ? utf8Text(data) : undefined;
    if (entry) text.set(...entry);
  }
  if (!size || size.width === 0 || size.height === 0) {
    throw new PngError("This PNG is damaged: it has no size.");
  }
  return { ...size, text };
}

/**
 * @param {Uint8Array} data of a tEXt chunk
 * @returns {[string, string] | undefined}
 */
function latin1Text(data) {
  const end = data.indexOf(0);
  return end < 1 ? undefined : [latin1(data.subarray(0, end)), latin1(data.subarray(end + 1))];
}

/**
 * @param {Uint8Array} data of an iTXt chunk: keyword, whether it is compressed and how, language, translated keyword, text
 * @returns {[string, string] | undefined}
 */
function utf8Text(data) {
  const keyword = data.indexOf(0);
  const language = data.indexOf(0, keyword + 3);
  const translated = data.indexOf(0, language + 1);
  if (keyword < 1 || language < 0 || translated < 0 || data[keyword + 1] !== 0) return undefined;
  return [latin1(data.subarray(0, keyword)), new TextDecoder().decode(data.subarray(translated + 1))];
}

/**
 * ISO 8859-1, which the decoder of that name is not.
 * @param {Uint8Array} bytes
 */
function latin1(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/**
 * Checksum of a chunk (ISO 3309), bit by bit: chunks of text are short.
 * @param {Uint8Array} bytes
 */
function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
