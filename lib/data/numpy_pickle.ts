/**
 * Pickles of CIFAR-10's python version, written by Python 2: dictionaries, lists, and numpy arrays of bytes. The three numpy
 * globals that occur are recognised.
 *
 * Source: `ndarray.__reduce__` and `dtype.__reduce__` of numpy.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import {
  type PickleDialect,
  PickleGlobal,
  PickleObject,
  PickleRefusal,
  type PickleValue,
} from "../pickle/dialect.ts";
import { unpickle } from "../pickle/reader.ts";

/** A numpy array of unsigned bytes. */
export class PickleArray extends PickleObject {
  /** Length of each dimension, outermost first. */
  shape: number[] = [];
  /** True if the first index varies fastest. */
  fortranOrder = false;
  /** The elements. */
  data: Uint8Array = new Uint8Array(0);
}

/** numpy's dtype of unsigned bytes. */
class ByteType extends PickleObject {}

/** Limit on the dimensions of an array, as in numpy. */
const MAX_DIMENSIONS = 32;

const NDARRAY = new PickleGlobal();

const DIALECT: PickleDialect = {
  files: "CIFAR-10's files",
  opcodes: [],
  globals: {
    "numpy.core.multiarray _reconstruct": new PickleGlobal(([type]) => {
      if (type !== NDARRAY) {
        throw new PickleRefusal("_reconstruct of something that is not a numpy array is refused");
      }
      return new PickleArray();
    }),
    "numpy ndarray": NDARRAY,
    "numpy dtype": new PickleGlobal(([name]) => {
      if (!isByteName(name)) {
        throw new PickleRefusal("a numpy dtype other than unsigned bytes (u1) is refused");
      }
      return new ByteType();
    }),
  },
  build(target, state) {
    if (!Array.isArray(state)) throw new PickleRefusal("BUILD without a tuple");
    if (target instanceof ByteType) return; // byte order and alignment, which bytes do not have
    if (!(target instanceof PickleArray)) {
      throw new PickleRefusal("BUILD of something that is not a numpy array is refused");
    }
    fill(target, state);
  },
  error: (message) => new DataError(message),
};

/**
 * Reads one pickle, in time and memory proportional to the file for any input.
 *
 * @param bytes the whole file
 * @param file file name for errors
 * @returns the value; byte strings are views into `bytes`
 * @throws {DataError} naming file and byte, if the pickle is cut short or uses anything that CIFAR-10's files do not
 */
export function readPickle(bytes: Uint8Array, file: string): PickleValue {
  const { value, end } = unpickle(bytes, file, DIALECT);
  if (end !== bytes.length) {
    throw new DataError(`${file}: byte ${end}: ${bytes.length - end} bytes follow the pickle's end`);
  }
  return value;
}

/** Sets an array to its state: `(1, shape, dtype, fortranOrder, data)`. */
function fill(target: PickleArray, state: readonly PickleValue[]): void {
  const [, shape, type, fortranOrder, data] = state;
  if (!(type instanceof ByteType)) throw new PickleRefusal("numpy array: expected unsigned bytes (dtype u1)");
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !shape.every(isCount)) {
    throw new PickleRefusal(`numpy array: expected a shape of at most ${MAX_DIMENSIONS} numbers`);
  }
  if (!(data instanceof Uint8Array) || data.length !== shape.reduce((product, n) => product * n, 1)) {
    const found = data instanceof Uint8Array ? `${data.length} bytes` : "no bytes";
    throw new PickleRefusal(`numpy array: ${found} do not fill the shape [${shape}]`);
  }
  target.shape = [...shape]; // the pickle may change its own later
  target.fortranOrder = fortranOrder === true;
  target.data = data;
}

function isByteName(value: PickleValue | undefined): boolean {
  return value instanceof Uint8Array && value.length === 2 && value[0] === 0x75 && value[1] === 0x31;
}

function isCount(value: PickleValue): value is number {
  return typeof value === "number" && value >= 0;
}
