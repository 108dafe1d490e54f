/**
 * PNG validation (W3C "Portable Network Graphics, third edition") chunk by chunk before decoding; of ancillary chunks,
 * only tRNS and eXIf are used. The decoder neither verifies checksums nor explains its errors, and fails at a broken colour
 * profile.
 *
 * @module
 */

import { crc32, inflateSync } from "node:zlib";
import { DataError } from "../../errors.ts";
import { checkDimensions, type Dimensions } from "./dimensions.ts";
import { exifOrientation, type Orientation } from "./orientation.ts";

/** Bytes of the signature and the IHDR chunk. */
const LEAST_BYTES = 33;
/** Length, type and CRC around a chunk's data. */
const CHUNK_OVERHEAD = 12;
/** Samples per pixel by colour type: grey, RGB, palette index, grey and alpha, RGB and alpha. */
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
/** Allowed bit depths by colour type. */
const DEPTHS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
/** Passes of Adam7 interlacing: first column and row, column and row stride. */
const ADAM7: readonly (readonly [number, number, number, number])[] = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];
/** Tolerance for encoders that write a few bytes more than the pixels take. */
const EXCESS_BYTES = 2 ** 16;

/** Data of the chunks that the picture depends on. All others are skipped unread, so that none can be a decompression bomb. */
interface PixelChunks {
  header: Uint8Array;
  palette?: Uint8Array;
  transparency?: Uint8Array;
  /** EXIF data. */
  exif?: Uint8Array;
  /** Data of all IDAT chunks, in order. */
  readonly pixels: Uint8Array[];
  /** False if the file ends before its IEND chunk. */
  complete: boolean;
}

/** A validated PNG without ancillary chunks. */
export interface PlainPng extends Dimensions {
  /** The reduced file: IHDR, PLTE, tRNS, one IDAT, IEND. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What its pixels are, if not RGB of 8 bits. */
  readonly traits: ("grey" | "palette" | "16 bits")[];
  /** Orientation of the stored pixels by its EXIF data. */
  readonly orientation: Orientation;
}

/**
 * Validates a PNG of any colour type, depth and interlacing. Ancillary chunks other than tRNS and eXIf are ignored,
 * even if damaged; a missing end is tolerated where the image data is complete.
 *
 * @param bytes the whole file; begins with the PNG signature
 * @param file file name for errors
 * @param maxPixels limit on the pixels, checked in the header
 * @throws {DataError} if it is cut short or damaged, lacks its palette, has no pixels or too many, or inflates to more
 *   bytes than its dimensions take
 */
export function plainPng(bytes: Uint8Array, file: string, maxPixels?: number): PlainPng {
  if (bytes.length < LEAST_BYTES) throw new DataError(`${file}: a PNG cut short after ${bytes.length} bytes`);
  const fail = (why: string): never => {
    throw new DataError(`${file}: a damaged PNG: ${why}`);
  };
  const chunks = pixelChunks(bytes, fail);
  const header = readHeader(chunks.header, fail);
  checkDimensions(header, file, maxPixels);
  if (header.colour === 3) {
    const length = chunks.palette?.length ?? 0;
    if (length === 0) fail("its colours are indices into a palette (PLTE), which is missing");
    if (length % 3 !== 0 || length > 768) {
      fail(`its palette has ${length} bytes, expected 3 to 768 in threes`);
    }
  }
  const pixels = concatenate(chunks.pixels);
  checkPixels(pixels, inflatedBytes(header), header, chunks.complete, file);
  const transparency = usableTransparency(chunks, header.colour);
  const parts = [
    bytes.subarray(0, 8),
    chunk("IHDR", chunks.header),
    ...(header.colour === 3 ? [chunk("PLTE", chunks.palette!)] : []),
    ...(transparency ? [chunk("tRNS", transparency)] : []),
    chunk("IDAT", pixels),
    chunk("IEND", new Uint8Array()),
  ];
  const { width, height, depth, colour } = header;
  const traits = [
    ...colour === 0 || colour === 4 ? ["grey" as const] : [],
    ...colour === 3 ? ["palette" as const] : [],
    ...depth === 16 ? ["16 bits" as const] : [],
  ];
  const orientation = chunks.exif ? exifOrientation(chunks.exif) : 1;
  return { width, height, bytes: concatenate(parts), traits, orientation };
}

/**
 * Dimensions in the header of a PNG; nothing after it is read or checked.
 *
 * @throws {DataError} if it is cut short before
 */
export function pngDimensions(bytes: Uint8Array, file: string): Dimensions {
  if (bytes.length < LEAST_BYTES) throw new DataError(`${file}: a PNG cut short after ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

/** Fields of IHDR. */
interface Header extends Dimensions {
  readonly depth: number;
  readonly colour: number;
  readonly interlaced: boolean;
}

function pixelChunks(bytes: Uint8Array, fail: (why: string) => never): PixelChunks {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: PixelChunks = { header: new Uint8Array(), pixels: [], complete: false };
  for (let at = 8; at + CHUNK_OVERHEAD <= bytes.length;) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (!/^[A-Za-z]{4}$/.test(name)) fail(`byte ${at + 4} is not the name of a chunk`);
    if (at === 8 && (name !== "IHDR" || length !== 13)) fail(`it begins with ${name}, expected IHDR`);
    const end = at + 8 + length;
    const data = bytes.subarray(at + 8, end);
    const whole = end + 4 <= bytes.length;
    const intact = whole && crc32(bytes.subarray(at + 4, end)) === view.getUint32(end);
    const critical = /^[A-Z]/.test(name);
    if (critical && whole && !intact) fail(`the checksum of its ${name} chunk at byte ${at} is wrong`);
    if (name === "IEND") return { ...found, complete: true };
    // The start of a truncated IDAT chunk may contain all pixels.
    if (name === "IDAT") found.pixels.push(data);
    if (!whole) break;
    if (name === "IHDR") found.header = data;
    else if (name === "PLTE" && found.pixels.length === 0) found.palette = data;
    else if (name === "tRNS" && intact && found.pixels.length === 0) found.transparency = data;
    else if (name === "eXIf" && intact) found.exif = data;
    else if (critical && name !== "IDAT" && name !== "PLTE") fail(`an unknown critical chunk, ${name}`);
    at = end + 4;
  }
  return found;
}

function readHeader(header: Uint8Array, fail: (why: string) => never): Header {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const depth = view.getUint8(8);
  const colour = view.getUint8(9);
  const compression = view.getUint8(10);
  const filter = view.getUint8(11);
  const interlace = view.getUint8(12);
  if (!DEPTHS[colour]?.includes(depth)) fail(`colour type ${colour} with ${depth} bits does not exist`);
  if (compression !== 0 || filter !== 0 || interlace > 1) {
    fail(`compression ${compression}, filter ${filter} and interlacing ${interlace} do not exist`);
  }
  return { width: view.getUint32(0), height: view.getUint32(4), depth, colour, interlaced: interlace === 1 };
}

/** Size of the inflated image data: all rows, each with one byte for its filter type. */
function inflatedBytes({ width, height, depth, colour, interlaced }: Header): number {
  const bits = depth * CHANNELS[colour]!; // readHeader checks the colour type
  const rows = (columns: number, count: number) =>
    columns === 0 ? 0 : count * (1 + Math.ceil(columns * bits / 8));
  if (!interlaced) return rows(width, height);
  return ADAM7.reduce((sum, [x, y, dx, dy]) => {
    return sum + rows(Math.ceil(Math.max(0, width - x) / dx), Math.ceil(Math.max(0, height - y) / dy));
  }, 0);
}

/** Inflates the image data as far as its dimensions allow; the decoder has no such limit and explains no errors. */
function checkPixels(
  pixels: Uint8Array,
  expected: number,
  { width, height }: Dimensions,
  complete: boolean,
  file: string,
): void {
  const short = (): never => {
    throw new DataError(
      complete
        ? `${file}: a damaged PNG: its image data ends before the last of its ${width} x ${height} pixels`
        : `${file}: a PNG cut short: its image data ends before the last of its ${width} x ${height} pixels`,
    );
  };
  if (pixels.length === 0) short();
  let inflated = 0;
  try {
    inflated = inflateSync(pixels, { maxOutputLength: expected + EXCESS_BYTES }).length;
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    if (code === "Z_BUF_ERROR") short();
    const why = code === "ERR_BUFFER_TOO_LARGE"
      ? `its image data inflates to more than the ${expected} bytes of its ${width} x ${height} pixels`
      : `its image data does not inflate (${message})`;
    throw new DataError(`${file}: a damaged PNG: ${why}`, { cause: error });
  }
  if (inflated < expected) short();
}

/** The tRNS chunk, unless its length does not match the colour type; other readers ignore it then, too. */
function usableTransparency({ transparency, palette }: PixelChunks, colour: number): Uint8Array | undefined {
  const length = transparency?.length ?? 0;
  if (colour === 3 && length > 0) return transparency!.subarray(0, palette!.length / 3);
  return length === ({ 0: 2, 2: 6 } as Record<number, number>)[colour] ? transparency : undefined;
}

function chunk(name: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + CHUNK_OVERHEAD);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(4, -4)));
  return bytes;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
