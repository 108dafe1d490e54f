/**
 * An official CIFAR-10 archive that was unpacked: `cifar-10-batches-bin` or `cifar-10-batches-py`.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { DataError } from "../errors.ts";
import { type BatchAssembly, parseBatchName } from "./batches.ts";
import type { DataProgressListener } from "./dataset.ts";
import { listFolder, readBytes } from "./files.ts";
import { BATCH_MD5 } from "./official.ts";
import { readPickledBatch } from "./pickled.ts";
import { readRecords } from "./records.ts";

/** Folder names inside the official archives, looked for in a folder that has no batch file itself. */
const ARCHIVE_FOLDERS: readonly string[] = ["cifar-10-batches-bin", "cifar-10-batches-py"];

/**
 * Finds batch files in a folder, or in a folder in it that is named as in the official archives.
 *
 * @param path where to look
 * @returns the folder that has them, or undefined
 * @throws {DataError} if the folder cannot be read
 */
export async function findBatchFolder(path: string): Promise<string | undefined> {
  const { files, folders } = await listFolder(path);
  if (files.some((name) => parseBatchName(name) !== undefined)) return path;
  const inner = ARCHIVE_FOLDERS.find((name) => folders.includes(name));
  return inner === undefined ? undefined : `${path}/${inner}`;
}

/**
 * Reads the batches of one split from a folder, the binary version where both are there. Other files are left alone.
 *
 * @param folder as found by {@link findBatchFolder}
 * @param assembly where the images go; if it is official, each file's MD5 is checked before it is parsed
 * @param onProgress told before each batch
 * @throws {DataError} naming file and position
 */
export async function readBatchFolder(
  folder: string,
  assembly: BatchAssembly,
  onProgress: DataProgressListener,
): Promise<void> {
  const { files } = await listFolder(folder);
  const format = files.some((name) => parseBatchName(name)?.format === "binary") ? "binary" : "python";
  let done = 0;
  for (const name of files) {
    const batch = parseBatchName(name);
    if (batch?.split !== assembly.split || batch.format !== format) continue;
    const file = `${folder}/${name}`;
    onProgress({ message: `CIFAR-10: reading ${file}`, done: done++, total: assembly.batchCount });
    const bytes = await readBytes(file);
    if (assembly.official) checkMd5(bytes, file, BATCH_MD5[name]);
    const read = format === "binary" ? readRecords : readPickledBatch;
    read(bytes, file, batch.index, assembly);
  }
}

/** Before a file is parsed: a pickle that is not the official one is not even looked at. */
function checkMd5(bytes: Uint8Array, file: string, expected: string): void {
  const found = createHash("md5").update(bytes).digest("hex");
  if (found === expected) return;
  throw new DataError(
    `${file}: not the official file: expected MD5 ${expected}, found ${found} (${bytes.length} bytes); ` +
      "unpack the archive again, or download it again from https://www.cs.toronto.edu/~kriz/cifar.html",
  );
}
