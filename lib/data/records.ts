/**
 * The binary version of CIFAR-10: records of one label byte and three colour planes of 1024 bytes.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { type BatchAssembly, interleavePlanes } from "./batches.ts";
import { CIFAR10_CLASSES, IMAGE_BYTES } from "./official.ts";

const RECORD_BYTES: number = 1 + IMAGE_BYTES;

/**
 * Reads one batch file of the binary version.
 *
 * @param bytes the whole file
 * @param file file name for errors
 * @param index position of the batch in the split, from 0
 * @param assembly receives the images
 * @throws {DataError} if the last record is cut short, the number of records is wrong or a label is above 9
 */
export function readRecords(bytes: Uint8Array, file: string, index: number, assembly: BatchAssembly): void {
  const rest = bytes.length % RECORD_BYTES;
  const records = (bytes.length - rest) / RECORD_BYTES;
  if (rest !== 0) {
    throw new DataError(
      `${file}: record ${records} at byte ${bytes.length - rest} is cut short: ` +
        `expected ${RECORD_BYTES} bytes, found ${rest}`,
    );
  }
  const { images, labels } = assembly.reserve(file, index, records);
  for (let record = 0; record < records; record++) {
    const start = record * RECORD_BYTES;
    const label = bytes[start]!; // `bytes` has `records` whole records
    if (label >= CIFAR10_CLASSES.length) {
      throw new DataError(
        `${file}: record ${record} at byte ${start}: expected a label from 0 to 9, found ${label}`,
      );
    }
    labels[record] = label;
    interleavePlanes(bytes, start + 1, images.subarray(record * IMAGE_BYTES, (record + 1) * IMAGE_BYTES));
  }
}
