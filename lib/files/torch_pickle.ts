/**
 * Pickles of PyTorch checkpoints: tensors, the storages they refer to by key, and plain values around them. `torch.save` writes
 * them in its zip files and in its older format.
 *
 * Source: `torch/_utils.py` (`_rebuild_tensor_v2`) and `torch/serialization.py` of PyTorch 2.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import {
  type PickleDialect,
  PickleGlobal,
  PickleObject,
  PickleRefusal,
  type PickleValue,
} from "../pickle/dialect.ts";
import { unpickle, type Unpickled } from "../pickle/reader.ts";
import type { Dtype } from "./dtypes.ts";

/** Memory of one or several tensors, which lies outside of the pickle. */
export class TorchStorage extends PickleObject {
  /**
   * Creates a reference to a storage.
   *
   * @param key its name in the file
   * @param elements its length
   */
  constructor(readonly dtype: Dtype, readonly key: string, readonly elements: number) {
    super();
  }
}

/** A tensor: a strided view of a storage. */
export class TorchTensor extends PickleObject {
  /**
   * Creates a tensor, whose elements lie inside of its storage and are no more than those.
   *
   * @param offset first element in the storage
   * @param shape sizes; `[]` for a scalar
   * @param strides distance between neighbours along each dimension, elements
   */
  constructor(
    readonly storage: TorchStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {
    super();
  }

  /** Number of elements. */
  get elements(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }
}

/** Limit on the dimensions of a tensor, as in PyTorch. */
const MAX_DIMENSIONS = 64;

/** A storage's class, which names the element type. */
class StorageType extends PickleGlobal {
  constructor(readonly dtype: Dtype) {
    super();
  }
}

/** Element types of the storages' classes. */
const STORAGES: Readonly<Record<string, Dtype>> = {
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  DoubleStorage: "F64",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

/** A pickle of PyTorch's. */
export interface TorchPickle extends Unpickled {
  /** The storages that it refers to, by key. */
  readonly storages: ReadonlyMap<string, TorchStorage>;
}

/**
 * Reads a pickle of PyTorch's.
 *
 * @param source the file's name, for errors
 * @param start first byte of the pickle
 * @throws {CheckpointError} naming file and byte, for anything but tensors, dictionaries, lists and plain values
 */
export function readTorchPickle(bytes: Uint8Array, source: string, start = 0): TorchPickle {
  const storages = new Map<string, TorchStorage>();
  return { ...unpickle(bytes, source, dialect(storages), start), storages };
}

/** @param storages receives the storages; tensors may share one */
function dialect(storages: Map<string, TorchStorage>): PickleDialect {
  return {
    files: "PyTorch checkpoints",
    opcodes: ["EMPTY_TUPLE", "BINFLOAT", "BINPERSID", "BINUNICODE", "LONG1"],
    globals: GLOBALS,
    // An OrderedDict's attributes, which hold the versions of modules.
    build(target) {
      if (!(target instanceof Map)) {
        throw new PickleRefusal("BUILD of something that is not a dictionary is refused");
      }
    },
    persistent(id) {
      const storage = storageOf(id);
      const known = storages.get(storage.key) ?? storage;
      if (known.dtype !== storage.dtype || known.elements !== storage.elements) {
        throw new PickleRefusal(`storage ${JSON.stringify(storage.key)} has two types or lengths`);
      }
      storages.set(storage.key, known);
      return known;
    },
    error: (message) => new CheckpointError(message),
  };
}

const GLOBALS: Readonly<Record<string, PickleGlobal>> = {
  "collections OrderedDict": new PickleGlobal((args) => {
    if (args.length > 0) throw new PickleRefusal("an OrderedDict that is built from arguments is refused");
    return new Map();
  }),
  "torch._utils _rebuild_tensor_v2": new PickleGlobal(tensorOf),
  // (data, requires_grad, hooks)
  "torch._utils _rebuild_parameter": new PickleGlobal(([data]) => {
    if (!(data instanceof TorchTensor)) throw new PickleRefusal("a parameter that is not a tensor");
    return data;
  }),
  ...Object.fromEntries(
    Object.entries(STORAGES).map(([name, dtype]) => [`torch ${name}`, new StorageType(dtype)]),
  ),
};

/** `("storage", type, key, device, elements)`; older files add a view, which is None. */
function storageOf(id: PickleValue): TorchStorage {
  const [kind, type, key, , elements, view = null] = Array.isArray(id) ? id : [];
  const isStorage = kind === "storage" && type instanceof StorageType && typeof key === "string" &&
    isCount(elements);
  if (!isStorage) throw new PickleRefusal("a persistent id that is not a storage");
  if (view !== null) throw new PickleRefusal("a storage that is a view of another is refused");
  return new TorchStorage(type.dtype, key, elements);
}

/** `(storage, offset, shape, strides, requires_grad, hooks)`. */
function tensorOf([storage, offset, shape, strides]: readonly PickleValue[]): TorchTensor {
  if (!(storage instanceof TorchStorage)) throw new PickleRefusal("a tensor without a storage");
  if (!isCount(offset) || !isCounts(shape) || !isCounts(strides) || shape.length !== strides.length) {
    throw new PickleRefusal(
      `a tensor's offset, shape and strides: expected whole numbers of 0 or more, at most ${MAX_DIMENSIONS} dimensions`,
    );
  }
  const tensor = new TorchTensor(storage, offset, [...shape], [...strides]);
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, offset); // as many strides as sizes
  if (!Number.isSafeInteger(tensor.elements)) {
    throw new PickleRefusal(`a tensor of shape [${shape}] has more elements than can be counted`);
  }
  if (tensor.elements > 0 && last >= storage.elements) {
    throw new PickleRefusal(
      `a tensor of shape [${shape}] ends at element ${last}, its storage ${
        JSON.stringify(storage.key)
      } has ${storage.elements}`,
    );
  }
  // Bounds the memory that a file can ask for by its length.
  if (tensor.elements > storage.elements) {
    throw new PickleRefusal(
      `a tensor of shape [${shape}] repeats elements of its storage, which has ${storage.elements}: ` +
        "save a contiguous copy",
    );
  }
  return tensor;
}

function isCount(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isCounts(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= MAX_DIMENSIONS && value.every(isCount);
}
