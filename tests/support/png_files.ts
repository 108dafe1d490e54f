/** PNG files built chunk by chunk: every colour type, bit depth and interlacing, and damaged files. */

import { crc32, deflateRawSync, deflateSync } from "node:zlib";

export const PNG_SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** A chunk with its checksum. */
export function pngChunk(type: string, data: Uint8Array = new Uint8Array()): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(4, -4)));
  return bytes;
}

export interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colour: number;
  readonly interlaced?: boolean;
}

/** The IHDR chunk. */
export function pngHeader({ width, height, depth, colour, interlaced = false }: PngHeader): Uint8Array {
  const data = new Uint8Array(13);
  const view = new DataView(data.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  data.set([depth, colour, 0, 0, interlaced ? 1 : 0], 8);
  return pngChunk("IHDR", data);
}

/** Concatenates the signature and chunks. */
export function pngOf(...chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([PNG_SIGNATURE, ...chunks].flatMap((part) => [...part]));
}

/** Columns and rows of each Adam7 pass in the 8 x 8 pattern of the standard. */
const ADAM7_PATTERN = [
  "16462646",
  "77777777",
  "56565656",
  "77777777",
  "36463646",
  "77777777",
  "56565656",
  "77777777",
];

/** Packed rows of samples, each preceded by filter type 0. */
export function pngRows(
  { width, height, depth, interlaced }: PngHeader,
  samples: (x: number, y: number) => readonly number[],
): Uint8Array {
  const bytes: number[] = [];
  for (const pass of interlaced ? "1234567" : ["all"]) {
    for (let y = 0; y < height; y++) {
      const row = Array.from({ length: width }, (_, x) => x)
        .filter((x) => pass === "all" || ADAM7_PATTERN[y % 8][x % 8] === pass)
        .flatMap((x) => samples(x, y));
      if (row.length === 0) continue;
      const bits = row.map((value) => value.toString(2).padStart(depth, "0")).join("");
      bytes.push(0);
      for (let at = 0; at < bits.length; at += 8) {
        bytes.push(parseInt(bits.slice(at, at + 8).padEnd(8, "0"), 2));
      }
    }
  }
  return Uint8Array.from(bytes);
}

/** A complete file; `before` are chunks between IHDR and the image data. */
export function pngFile(
  header: PngHeader,
  samples: (x: number, y: number) => readonly number[],
  before: readonly Uint8Array[] = [],
): Uint8Array<ArrayBuffer> {
  const data = pngChunk("IDAT", deflateSync(pngRows(header, samples)));
  return pngOf(pngHeader(header), ...before, data, pngChunk("IEND"));
}

/** A zlib stream of `count` zeros, about a thousandth of the size, made without allocating them. */
export function deflatedZeros(count: number): Uint8Array<ArrayBuffer> {
  const block = 2 ** 20;
  const flushed = deflateRawSync(new Uint8Array(block), { finishFlush: 3 }); // Z_FULL_FLUSH: blocks can be concatenated
  const rest = deflateRawSync(new Uint8Array(count % block));
  const blocks = Math.floor(count / block);
  const bytes = new Uint8Array(2 + blocks * flushed.length + rest.length + 4);
  bytes.set([0x78, 0x9c]);
  for (let i = 0; i < blocks; i++) bytes.set(flushed, 2 + i * flushed.length);
  bytes.set(rest, 2 + blocks * flushed.length);
  // Adler-32 of zeros: the low sum is 1, the high sum is `count`.
  new DataView(bytes.buffer).setUint32(bytes.length - 4, (count % 65_521) * 65_536 + 1);
  return bytes;
}
