/**
 * The python version of CIFAR-10: batches are pickled dictionaries of `data`, `[records, 3072]` bytes in colour planes,
 * and `labels`, a list of integers.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { type BatchAssembly, interleavePlanes } from "./batches.ts";
import { CIFAR10_CLASSES, IMAGE_BYTES } from "./official.ts";
import { PickleArray, readPickle } from "./numpy_pickle.ts";

/**
 * Reads one batch file of the python version.
 *
 * @param bytes the whole file
 * @param file file name for errors
 * @param index position of the batch in the split, from 0
 * @param assembly receives the images
 * @throws {DataError} if the pickle is damaged or refused, an entry is missing or misshapen, or a label is not 0 to 9
 */
export function readPickledBatch(
  bytes: Uint8Array,
  file: string,
  index: number,
  assembly: BatchAssembly,
): void {
  const batch = readPickle(bytes, file);
  if (!(batch instanceof Map)) throw new DataError(`${file}: the pickle is not a dictionary`);

  const data = batch.get("data");
  const [records, recordBytes, ...rest] = data instanceof PickleArray ? data.shape : [];
  if (
    !(data instanceof PickleArray) || records === undefined || recordBytes !== IMAGE_BYTES || rest.length > 0
  ) {
    const found = data instanceof PickleArray ? `[${data.shape}]` : "none";
    throw new DataError(
      `${file}: data: expected a byte array of shape [records,${IMAGE_BYTES}], found ${found}`,
    );
  }
  const classes = batch.get("labels");
  if (!Array.isArray(classes) || classes.length !== records) {
    const found = Array.isArray(classes) ? `${classes.length}` : "none";
    throw new DataError(`${file}: labels: expected a list of ${records}, as many as images, found ${found}`);
  }

  const { images, labels } = assembly.reserve(file, index, records);
  const planes = data.fortranOrder ? transpose(data.data, IMAGE_BYTES, records) : data.data;
  for (let record = 0; record < records; record++) {
    const label = classes[record];
    if (!Number.isInteger(label) || Number(label) < 0 || Number(label) >= CIFAR10_CLASSES.length) {
      throw new DataError(`${file}: record ${record}: expected a label from 0 to 9, found ${label}`);
    }
    labels[record] = Number(label);
    interleavePlanes(
      planes,
      record * IMAGE_BYTES,
      images.subarray(record * IMAGE_BYTES, (record + 1) * IMAGE_BYTES),
    );
  }
}

/** Transposes `[rows, columns]` to `[columns, rows]`. */
function transpose(from: Uint8Array, rows: number, columns: number): Uint8Array {
  const to = new Uint8Array(from.length);
  for (let row = 0; row < rows; row++) {
    // `from` has rows * columns bytes
    for (let column = 0; column < columns; column++) to[column * rows + row] = from[row * columns + column]!;
  }
  return to;
}
