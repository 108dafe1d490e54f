/**
 * Unpacked official CIFAR-10 archives: `cifar-10-batches-bin` and `cifar-10-batches-py`.
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

/** Folders inside the official archives; searched where a folder has no batch files itself. */
const ARCHIVE_FOLDERS: readonly string[] = ["cifar-10-batches-bin", "cifar-10-batches-py"];

/**
 * Finds the batch files of a folder, or of a subfolder named as in the official archives.
 *
 * @returns the folder that contains them, or undefined
 * @throws {DataError} if the folder cannot be read
 */
export async function findBatchFolder(path: string): Promise<string | undefined> {
  const { files, folders } = await listFolder(path);
  if (files.some((name) => parseBatchName(name) !== undefined)) return path;
  const inner = ARCHIVE_FOLDERS.find((name) => folders.includes(name));
  return inner === undefined ? undefined : `${path}/${inner}`;
}

/**
 * Reads the batches of one split from a folder, preferring the binary version. Other files are ignored.
 *
 * @param folder from {@link findBatchFolder}
 * @param assembly receives the images; if it is official, each file's MD5 is checked before it is parsed
 * @param onProgress called before each batch
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

/** Runs before a file is parsed, so that no pickle but the official ones reaches the parser. */
function checkMd5(bytes: Uint8Array, file: string, expected: string | undefined): void {
  const found = createHash("md5").update(bytes).digest("hex");
  if (found === expected) return;
  throw new DataError(
    `${file}: not the official file: expected MD5 ${expected}, found ${found} (${bytes.length} bytes); ` +
      "unpack the archive again, or download it again from https://www.cs.toronto.edu/~kriz/cifar.html",
  );
}
