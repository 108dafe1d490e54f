/**
 * Streaming reader of the official CIFAR-10 archives: nothing is unpacked to disk, and beside the result at most one
 * batch file is in memory.
 *
 * @module
 */

import { createTarDecoder, type ParsedTarEntry } from "modern-tar";
import { DataError } from "../errors.ts";
import { type BatchAssembly, parseBatchName } from "./batches.ts";
import type { DataProgressListener } from "./dataset.ts";
import { fileMd5, reason, unreadable } from "./files.ts";
import { OFFICIAL_ARCHIVES } from "./official.ts";
import { readPickledBatch } from "./pickled.ts";
import { readRecords } from "./records.ts";

/** Other files of the official archives; skipped. */
const COMPANIONS: ReadonlySet<string> = new Set(["readme.html", "batches.meta", "batches.meta.txt"]);

/** Size limit of a member, against damaged or malicious headers; batch files have 31 MB. */
const MAX_MEMBER_BYTES = 2 ** 28;

/** Size limit of the inflated archive, against decompression bombs; the official ones inflate to 184 MB. */
const MAX_INFLATED_BYTES = 2 ** 29;

/**
 * Reads the batches of one split from a `.tar.gz` of the binary or the python version.
 *
 * Every member must be one of the official files (batches, `readme.html`, `batches.meta`) or a folder, under a relative
 * path without `..`; an archive with anything else, links included, is rejected as not genuine.
 *
 * @param path the archive
 * @param assembly receives the images; if it is official, the archive's MD5 is checked before anything is read from it
 * @param onProgress called before each batch
 * @throws {DataError} naming archive, member and position
 */
export async function readArchive(
  path: string,
  assembly: BatchAssembly,
  onProgress: DataProgressListener,
): Promise<void> {
  if (assembly.official) await checkMd5(path, onProgress);
  const members = await openMembers(path);
  let member = "its first member";
  let done = 0;
  try {
    for await (const entry of members) {
      member = entry.header.name;
      const batch = checkMember(path, entry.header);
      if (batch?.split !== assembly.split) {
        await entry.body.cancel();
        continue;
      }
      onProgress({ message: `CIFAR-10: reading ${member}`, done: done++, total: assembly.batchCount });
      const bytes = await readBody(path, entry);
      const read = batch.format === "binary" ? readRecords : readPickledBatch;
      read(bytes, `${path}: ${member}`, batch.index, assembly);
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`${path}: damaged or cut short at ${member}: ${reason(error)}`, { cause: error });
  }
}

async function checkMd5(path: string, onProgress: DataProgressListener): Promise<void> {
  onProgress({ message: `CIFAR-10: checking ${path}` });
  const found = await fileMd5(path);
  if (OFFICIAL_ARCHIVES.some(({ md5 }) => md5 === found)) return;
  const { size } = await Deno.stat(path);
  const expected = OFFICIAL_ARCHIVES.map(({ file, bytes, md5 }) => `${md5} (${file}, ${bytes} bytes)`);
  throw new DataError(
    `${path}: not an official archive: expected MD5 ${
      expected.join(" or ")
    }, found ${found} (${size} bytes); ` +
      "download it again from https://www.cs.toronto.edu/~kriz/cifar.html",
  );
}

async function openMembers(path: string): Promise<ReadableStream<ParsedTarEntry>> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  return file.readable.pipeThrough(new DecompressionStream("gzip")).pipeThrough(limitSize(path)).pipeThrough(
    createTarDecoder({ strict: true }),
  );
}

/** Passes bytes through, at most {@link MAX_INFLATED_BYTES}. */
function limitSize(path: string): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let bytes = 0;
  return new TransformStream({
    transform(chunk, controller) {
      bytes += chunk.length;
      if (bytes > MAX_INFLATED_BYTES) {
        throw new DataError(`${path}: inflates to more than ${MAX_INFLATED_BYTES} bytes`);
      }
      controller.enqueue(chunk);
    },
  });
}

/** Rejects a member that does not belong in the archive; returns the parsed name of a batch file. */
function checkMember(path: string, header: ParsedTarEntry["header"]): ReturnType<typeof parseBatchName> {
  const { name, type, size } = header;
  const refuse = (why: string): never => {
    throw new DataError(`${path}: member ${JSON.stringify(name)}: ${why}`);
  };
  const parts = name.split(/[/\\]/);
  const [first = ""] = parts;
  if (parts.includes("..") || first === "" || first.includes(":")) {
    refuse("expected a path inside the archive");
  }
  if (type === "directory") return undefined;
  if (type !== "file") refuse(`a ${type}, expected only files and folders`);
  const base = parts.at(-1) ?? "";
  const batch = parseBatchName(base);
  if (batch === undefined && !COMPANIONS.has(base)) refuse("not one of CIFAR-10's files");
  if (!(size >= 0 && size <= MAX_MEMBER_BYTES)) {
    refuse(`a size of ${size} bytes, expected at most ${MAX_MEMBER_BYTES}`);
  }
  return batch;
}

async function readBody(path: string, { header, body }: ParsedTarEntry): Promise<Uint8Array> {
  const bytes = new Uint8Array(header.size);
  let filled = 0;
  try {
    for await (const chunk of body) {
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
  } catch (error) {
    throw new DataError(
      `${path}: ${header.name}: cut short after ${filled} of ${header.size} bytes: ${reason(error)}`,
      { cause: error },
    );
  }
  return bytes;
}
