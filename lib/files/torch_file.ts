/**
 * PyTorch checkpoints (`.bin`, `.pt`, `.pth`, `.ckpt`) as `torch.save` writes them: a zip file with a pickle and a file per
 * storage, or, before PyTorch 1.6, pickles followed by the storages. Nothing in them is run (torch_pickle.ts).
 *
 * Source: `torch/serialization.py` of PyTorch 2 (`_save`, `_legacy_save`).
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import type { PickleValue } from "../pickle/dialect.ts";
import { bytesPerElement, type SafeTensor, tensorFromBytes } from "./dtypes.ts";
import { describeStandIn } from "./stand_in.ts";
import { selectStateDict } from "./state_dict.ts";
import { readTorchPickle, type TorchStorage, type TorchTensor } from "./torch_pickle.ts";
import { StoredZip } from "./zip.ts";

/** Contents of a PyTorch checkpoint. */
export interface TorchFile {
  /** Tensors by name. */
  readonly tensors: Map<string, SafeTensor<ArrayBuffer>>;
  /** Which of the file's state dicts they are, if it has them under keys. */
  readonly note?: string;
}

/** Start of a zip file. */
const ZIP = [0x50, 0x4b, 0x03, 0x04];
/** Start of the older format: two pickles, of its magic number and of its version, 1001. */
const LEGACY = [
  ...[0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e],
  ...[0x80, 0x02, 0x4d, 0xe9, 0x03, 0x2e],
];
/** Limit on the elements of all tensors, the largest network: bounds the memory that tensors of one storage can take. */
const MAX_ELEMENTS = 2 ** 30;

/** Bytes of a storage's length in the older format. */
const LENGTH_BYTES = 8;

/** Reads a storage's bytes. */
type ReadStorage = (storage: TorchStorage) => Promise<Uint8Array<ArrayBuffer>>;

/**
 * Decodes a PyTorch checkpoint.
 *
 * @param bytes the whole file; tensors may be views of it, so do not modify it afterwards
 * @param source the file's name, for messages
 * @throws {CheckpointError} naming the file and what is damaged or refused
 */
export async function decodeTorchFile(bytes: Uint8Array<ArrayBuffer>, source: string): Promise<TorchFile> {
  const standIn = describeStandIn(bytes);
  if (standIn !== undefined) throw new CheckpointError(`${source}: ${standIn}`);
  const { value, read } = startsWith(bytes, ZIP)
    ? await openZip(bytes, source)
    : startsWith(bytes, LEGACY)
    ? openLegacy(bytes, source)
    : refuse(source);
  const { tensors, note } = selectStateDict(value, source);
  let elements = 0;
  for (const tensor of tensors.values()) elements += tensor.elements;
  if (elements > MAX_ELEMENTS) {
    throw new CheckpointError(`${source}: ${elements} weights, at most ${MAX_ELEMENTS} are supported`);
  }
  const loaded = new Map<TorchStorage, SafeTensor<ArrayBuffer>>();
  const dense = new Map<string, SafeTensor<ArrayBuffer>>();
  for (const [name, tensor] of tensors) {
    const { storage } = tensor;
    const flat = loaded.get(storage) ??
      tensorFromBytes(storage.dtype, [storage.elements], await read(storage));
    loaded.set(storage, flat);
    dense.set(name, densify(tensor, flat));
  }
  return { tensors: dense, ...note === undefined ? {} : { note } };
}

function refuse(source: string): never {
  throw new CheckpointError(
    `${source}: not a PyTorch checkpoint: neither a zip file nor torch.save's older format`,
  );
}

function startsWith(bytes: Uint8Array, start: readonly number[]): boolean {
  return start.every((byte, i) => bytes[i] === byte);
}

/** A pickle's value, and access to the storages it refers to. */
interface Opened {
  readonly value: PickleValue;
  readonly read: ReadStorage;
}

async function openZip(bytes: Uint8Array<ArrayBuffer>, source: string): Promise<Opened> {
  const zip = await StoredZip.open(bytes, source);
  const { names } = zip;
  const pickles = names.filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length > 1) {
    throw new CheckpointError(`${source}: not a PyTorch checkpoint: expected one data.pkl in the zip file`);
  }
  const root = pickle.slice(0, -"data.pkl".length);
  if (names.includes(`${root}constants.pkl`)) {
    throw new CheckpointError(`${source}: a TorchScript program; expected a state dict saved by torch.save`);
  }
  const order = await zip.read(`${root}byteorder`);
  if (order && new TextDecoder().decode(order) !== "little") bigEndian(source);
  const { value } = readTorchPickle((await zip.read(pickle))!, `${source}: ${pickle}`); // it is one of the names
  const read = async (storage: TorchStorage) => {
    const name = `${root}data/${storage.key}`;
    const data = await zip.read(name);
    if (!data) throw new CheckpointError(`${source}: ${name} is missing`);
    const expected = storage.elements * bytesPerElement(storage.dtype);
    if (data.length !== expected) {
      throw new CheckpointError(
        `${source}: ${name} has ${data.length} bytes, ${storage.elements} elements of ${storage.dtype} take ${expected}`,
      );
    }
    return data;
  };
  return { value, read };
}

/** After the start: pickles of the system, the value and the storages' keys; then each storage's length and bytes. */
function openLegacy(bytes: Uint8Array<ArrayBuffer>, source: string): Opened {
  const system = readTorchPickle(bytes, source, LEGACY.length);
  if (!(system.value instanceof Map) || system.value.get("little_endian") !== true) bigEndian(source);
  const { value, storages, end } = readTorchPickle(bytes, source, system.end);
  const keys = readTorchPickle(bytes, source, end);
  if (!Array.isArray(keys.value)) {
    throw new CheckpointError(`${source}: byte ${end}: expected the storages' keys`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data = new Map<TorchStorage, Uint8Array<ArrayBuffer>>();
  let at = keys.end;
  for (const key of keys.value) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (!storage) throw new CheckpointError(`${source}: byte ${end}: a storage that no tensor has`);
    const where = `${source}: storage ${JSON.stringify(storage.key)}`;
    const first = at + LENGTH_BYTES;
    const next = first + storage.elements * bytesPerElement(storage.dtype);
    if (next > bytes.length) {
      throw new CheckpointError(`${where} ends at byte ${next}, the file has ${bytes.length}`);
    }
    const elements = Number(view.getBigUint64(at, true));
    if (elements !== storage.elements) {
      throw new CheckpointError(`${where} has ${elements} elements, its tensors expect ${storage.elements}`);
    }
    data.set(storage, bytes.subarray(first, next));
    at = next;
  }
  const read = (storage: TorchStorage) => {
    const found = data.get(storage);
    if (!found) throw new CheckpointError(`${source}: storage ${JSON.stringify(storage.key)} is missing`);
    return Promise.resolve(found);
  };
  return { value, read };
}

function bigEndian(source: string): never {
  throw new CheckpointError(`${source}: written on a big-endian machine, expected little-endian numbers`);
}

/** The elements in row-major order: a view of the storage where they lie in that order there, else a copy. */
function densify(tensor: TorchTensor, storage: SafeTensor<ArrayBuffer>): SafeTensor<ArrayBuffer> {
  const { offset, elements } = tensor;
  const shape = [...tensor.shape];
  const { dtype } = storage;
  const viewed = storage.data.subarray(offset, offset + elements);
  if (isContiguous(tensor)) return { dtype, shape, data: viewed } as SafeTensor<ArrayBuffer>;
  const data = viewed.slice();
  const index = shape.map(() => 0);
  let from = offset;
  for (let to = 0; to < elements; to++) {
    data[to] = storage.data[from]!; // the tensor lies inside of its storage
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += tensor.strides[axis]!; // as many as sizes
      if (++index[axis]! < shape[axis]!) break;
      from -= tensor.strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return { dtype, shape, data } as SafeTensor<ArrayBuffer>;
}

/** True if strides are those of row-major order; those of dimensions of size 1 do not matter. */
function isContiguous({ shape, strides }: TorchTensor): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!; // in range
  }
  return true;
}
