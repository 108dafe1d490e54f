/**
 * File of a decoded data set: safetensors, so that other tools read it, too.
 *
 * Its tensors are `images` [N,H,W,C], `labels` [N], `checksums` [N] (CRC-32 of each image), `validation` (indices), if there is
 * one, and `about`, JSON text with the rest. The header has a fixed size, because it is written last. Its metadata has a SHA-256
 * of all but the images.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import { CheckpointError, DataError } from "../../errors.ts";
import { decodeHeader, type Header, METADATA_KEY } from "../../files/safetensors_header.ts";
import type { ImageDataset } from "../dataset.ts";
import { unreadable } from "../files.ts";
import { piecesOf } from "../image_store.ts";
import { FileImages } from "./file_images.ts";

/** Raise when images are decoded or framed in another way, or the file's contents change. */
export const CACHE_VERSION = 2;

/** Bytes before the images: a page, and more than the header takes. */
export const HEADER_BYTES = 4096;

/** Size of a file's images up to which all are checked before use; those of larger ones are checked as they are read. */
export const VERIFIED_BYTES: number = 2 ** 31;

const FORMAT = `denoise images ${CACHE_VERSION}`;
const UNSIGNED = "0".repeat(64);

/** A data set as a file has it. */
export interface StoredDataset {
  readonly dataset: ImageDataset;
  /** Digest of the state of the files that it was made from. */
  readonly stamp: string;
}

/**
 * Completes a file whose images are written.
 *
 * @param file open for writing
 * @param checksums CRC-32 of each image
 * @throws {Deno.errors} the system's error
 */
export function writeRest(
  file: Deno.FsFile,
  { dataset, stamp }: StoredDataset,
  checksums: Uint32Array,
): void {
  const { images, labels, validation, digest, count, height, width, channels, ...about } = dataset;
  const text = new TextEncoder().encode(JSON.stringify(about));
  const rest: [name: string, dtype: string, data: Uint8Array][] = [
    ["labels", "U8", labels],
    ["checksums", "U32", bytesOf(checksums)],
    ...validation ? [["validation", "U32", bytesOf(validation)] as [string, string, Uint8Array]] : [],
    ["about", "U8", text],
  ];
  let end = count * images.bytesPerImage;
  const entries: Record<string, object> = {
    images: { dtype: "U8", shape: [count, height, width, channels], data_offsets: [0, end] },
  };
  for (const [name, dtype, data] of rest) {
    const length = dtype === "U32" ? data.length / 4 : data.length;
    entries[name] = { dtype, shape: [length], data_offsets: [end, end += data.length] };
  }
  const header = (checksum: string) => {
    const metadata = { format: FORMAT, digest, stamp, checksum };
    const json = JSON.stringify({ [METADATA_KEY]: metadata, ...entries });
    return new TextEncoder().encode(json.padEnd(HEADER_BYTES - 8));
  };
  const tail = Buffer.concat(rest.map(([, , data]) => data));
  write(file, HEADER_BYTES + count * images.bytesPerImage, tail);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(HEADER_BYTES - 8), true);
  write(file, 0, length);
  write(file, 8, header(signatureOf(header(UNSIGNED), tail)));
}

/**
 * Opens a file, and checks it.
 *
 * @returns undefined if there is none
 * @throws {DataError} naming the file, if it is damaged, of another version, or no such file
 */
export async function openImageFile(path: string): Promise<StoredDataset | undefined> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw unreadable(path, error);
  }
  try {
    return read(file, path);
  } catch (error) {
    file.close();
    throw error instanceof DataError ? error : unreadable(path, error);
  }
}

function read(file: Deno.FsFile, path: string): StoredDataset {
  const damaged = (what: string): never => {
    throw new DataError(`${path}: ${what}`);
  };
  const { size } = file.statSync();
  if (size < HEADER_BYTES) damaged(`${size} bytes, too few for decoded images`);
  const head = readAt(file, 8, HEADER_BYTES - 8);
  const { metadata, entries } = headerOf(head, path);
  if (metadata.format !== FORMAT) damaged(`of another version (${metadata.format ?? "unknown"})`);
  const [first, ...others] = entries;
  const [count, height, width, channels] = first?.shape ?? [];
  if (
    !first || first.name !== "images" || !count || !height || !width || (channels !== 1 && channels !== 3)
  ) {
    return damaged("its images have no shape");
  }
  const whole = HEADER_BYTES + entries.at(-1)!.end; // `first` is one
  if (size !== whole) damaged(`${size} bytes instead of ${whole}`);
  const tail = readAt(file, HEADER_BYTES + first.end, size - HEADER_BYTES - first.end);
  const { checksum = "", digest = "", stamp = "" } = metadata;
  const unsigned = new TextEncoder().encode(new TextDecoder().decode(head).replace(checksum, UNSIGNED));
  if (signatureOf(unsigned, tail) !== checksum) damaged("damaged, as its checksum shows");

  const parts = new Map(
    others.map(({ name, begin, end }) => [name, tail.subarray(begin - first.end, end - first.end)] as const),
  );
  const [labels, checksums, about] = ["labels", "checksums", "about"].map((name) =>
    parts.get(name) ?? damaged(`it has no ${name}`)
  ) as [Uint8Array, Uint8Array, Uint8Array];
  const validation = parts.get("validation");
  const bytesPerImage = height * width * channels;
  const layout = { path, offset: HEADER_BYTES, count, bytesPerImage, checksums: wordsOf(checksums) };
  const images = new FileImages(file, layout);
  if (count * bytesPerImage <= VERIFIED_BYTES) {
    for (const _ of piecesOf(images)); // reading checks them
  }
  const dataset: ImageDataset = {
    ...JSON.parse(new TextDecoder().decode(about)),
    ...{ images, labels, digest, count, height, width, channels },
    ...validation ? { validation: wordsOf(validation) } : {},
  };
  return { dataset, stamp };
}

function headerOf(head: Uint8Array<ArrayBuffer>, path: string): Header {
  try {
    return decodeHeader(head, path);
  } catch (error) {
    if (error instanceof CheckpointError) throw new DataError(error.message, { cause: error });
    throw error;
  }
}

/** SHA-256 of the header, with zeros in the place of its checksum, and of what follows the images. */
function signatureOf(header: Uint8Array, tail: Uint8Array): string {
  return createHash("sha256").update(header).update(tail).digest("hex");
}

/** Writes all bytes at a place of a file. */
export function write(file: Deno.FsFile, at: number, bytes: Uint8Array): void {
  file.seekSync(at, Deno.SeekMode.Start);
  for (let written = 0; written < bytes.length;) written += file.writeSync(bytes.subarray(written));
}

/** Bytes at a place of a file; fewer at its end. */
export function readAt(file: Deno.FsFile, at: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  file.seekSync(at, Deno.SeekMode.Start);
  let filled = 0;
  while (filled < length) {
    const n = file.readSync(bytes.subarray(filled));
    if (n === null) break;
    filled += n;
  }
  return bytes.subarray(0, filled);
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** A copy, as bytes in a file may lie at any address. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.slice().buffer);
}
