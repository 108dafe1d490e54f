/**
 * Tensors in a safetensors file that carries a SHA-256 of each tensor in its metadata, where other readers ignore
 * it: a damaged file, alone and copied anywhere, can then say which tensor is not what was saved.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { CheckpointError } from "../errors.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type SafeTensor,
  type SafetensorsFile,
} from "./safetensors.ts";

/** A network's tensor: shape as in PyTorch (OIHW, [out, in]), elements in row-major order. */
export interface WeightTensor<B extends ArrayBufferLike = ArrayBufferLike> {
  /** Sizes; `[]` for a scalar. */
  shape: number[];
  /** The elements, as many as the product of `shape`. */
  data: Float32Array<B>;
}

/** A tensor to store: numbers, counters or bytes. */
export interface StateTensor<B extends ArrayBufferLike = ArrayBufferLike> {
  /** Sizes; `[]` for a scalar. */
  shape: number[];
  /** The elements, as many as the product of `shape`. */
  data: Float32Array<B> | Float16Array<B> | Uint32Array<B> | Uint8Array<B>;
}

const DIGESTS_KEY = "denoise.sha256";

/**
 * A safetensors file with a digest of each tensor.
 *
 * @param metadata further free text
 * @throws {CheckpointError} if a tensor's data does not fit its shape
 */
export function encodeWeights(
  tensors: ReadonlyMap<string, StateTensor>,
  metadata: Record<string, string> = {},
): Uint8Array<ArrayBuffer> {
  const typed = new Map<string, SafeTensor>();
  const digests: [string, string][] = [];
  for (const [name, { shape, data }] of tensors) {
    const tensor = toSafeTensor(shape, data);
    typed.set(name, tensor);
    digests.push([name, digest(tensor)]);
  }
  // "format" is what diffusers looks for.
  return encodeSafetensors(typed, {
    ...metadata,
    format: "pt",
    [DIGESTS_KEY]: JSON.stringify(digests.sort()),
  });
}

function toSafeTensor(shape: number[], data: StateTensor["data"]): SafeTensor {
  if (data instanceof Float32Array) return { dtype: "F32", shape, data };
  if (data instanceof Uint32Array) return { dtype: "U32", shape, data };
  if (data instanceof Uint8Array) return { dtype: "U8", shape, data };
  return { dtype: "F16", shape, data: new Uint16Array(data.buffer, data.byteOffset, data.length) };
}

/** A weight file as it was read. */
export interface WeightFile extends SafetensorsFile {
  /** Whether it carries digests, as the files of this project do. */
  verified: boolean;
}

/**
 * Reads a safetensors file from anywhere; one with digests is checked against them.
 *
 * @param source the file's name, for messages
 * @throws {CheckpointError} naming the file and, where there is one, the tensor
 */
export function decodeWeights(bytes: Uint8Array<ArrayBuffer>, source: string): WeightFile {
  const file = decodeSafetensors(bytes, source);
  const { [DIGESTS_KEY]: text, ...metadata } = file.metadata;
  if (text !== undefined) {
    const expected = parseDigests(text, source);
    for (const [name, tensor] of file.tensors) {
      if (digest(tensor) !== expected.get(name)) {
        throw new CheckpointError(`${source}: tensor ${JSON.stringify(name)} is damaged: SHA-256 differs`);
      }
    }
    for (const name of expected.keys()) {
      if (!file.tensors.has(name)) {
        throw new CheckpointError(`${source}: tensor ${JSON.stringify(name)} is missing`);
      }
    }
  }
  return { tensors: file.tensors, metadata, verified: text !== undefined };
}

function digest({ dtype, shape, data }: SafeTensor): string {
  return createHash("sha256")
    .update(`${dtype} ${shape}\n`)
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest("hex");
}

function parseDigests(text: string, source: string): Map<string, string> {
  try {
    return new Map(JSON.parse(text));
  } catch {
    throw new CheckpointError(`${source}: the digests in its metadata are damaged`);
  }
}
