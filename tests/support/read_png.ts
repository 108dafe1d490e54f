/** Reader for pixels and text of PNG files, by a decoder independent of the product. */
import { decode } from "fast-png";

/** A decoded PNG. */
export interface DecodedPng {
  width: number;
  height: number;
  /** RGB bytes, `[height, width, 3]`, without alpha. */
  rgb: Uint8Array;
  /** Text by keyword, from tEXt and uncompressed iTXt chunks. */
  text: Record<string, string>;
}

/** A chunk of a PNG. */
export interface Chunk {
  readonly type: string;
  readonly data: Uint8Array;
  /** Stored checksum of type and data. */
  readonly crc: number;
}

/** Chunks of a complete PNG. */
export function chunksOf(png: Uint8Array): Chunk[] {
  const view = new DataView(png.buffer, png.byteOffset);
  const chunks: Chunk[] = [];
  for (let at = 8; at < png.length;) {
    const end = at + 12 + view.getUint32(at);
    const data = png.subarray(at + 8, end - 4);
    chunks.push({ type: latin1(png.subarray(at + 4, at + 8)), data, crc: view.getUint32(end - 4) });
    at = end;
  }
  return chunks;
}

/** Decodes a colour PNG of 8 bits per sample. */
export function decodePng(bytes: Uint8Array): DecodedPng {
  const { width, height, data, channels } = decode(bytes, { checkCrc: true });
  const text = Object.fromEntries(chunksOf(bytes).flatMap(decodeText));
  return { width, height, rgb: Uint8Array.from(data).filter((_, i) => i % channels < 3), text };
}

function decodeText({ type, data }: Chunk): [string, string][] {
  const end = data.indexOf(0);
  const keyword = latin1(data.subarray(0, Math.max(end, 0)));
  if (type === "tEXt") return [[keyword, latin1(data.subarray(end + 1))]];
  // After the keyword: uncompressed, method 0, no language tag, no translated keyword.
  if (type === "iTXt") return [[keyword, new TextDecoder().decode(data.subarray(end + 5))]];
  return [];
}

/** The web's "latin1" decoder is windows-1252, which differs from 0x80 to 0x9f. */
function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
