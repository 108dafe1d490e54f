/**
 * Safetensors files with the SHA-256 of each tensor in the metadata, which other readers ignore: damage can be traced to a
 * tensor, even in a file that was copied elsewhere on its own.
 *
 * @module
 */
import { sha256Of } from "../digest.ts";
import { CheckpointError } from "../errors.ts";
import type { SafeTensor } from "./dtypes.ts";
import { decodeSafetensors, encodeSafetensors, type SafetensorsFile } from "./safetensors.ts";

/** A network's tensor in PyTorch's layout (OIHW, [out, in]), row-major. */
export interface WeightTensor<B extends ArrayBufferLike = ArrayBufferLike> {
  /** Sizes; `[]` for a scalar. */
  shape: number[];
  /** The elements, as many as the product of `shape`. */
  data: Float32Array<B>;
}

/** A tensor of a checkpoint: floats, counters or bytes. */
export interface StateTensor<B extends ArrayBufferLike = ArrayBufferLike> {
  /** Sizes; `[]` for a scalar. */
  shape: number[];
  /** The elements, as many as the product of `shape`. */
  data: Float64Array<B> | Float32Array<B> | Float16Array<B> | Uint32Array<B> | Uint8Array<B>;
}

const DIGESTS_KEY = "denoise.sha256";

/**
 * Encodes a safetensors file with a digest of each tensor.
 *
 * @param metadata further free text
 * @throws {CheckpointError} if a tensor's data does not fit its shape
 */
export async function encodeWeights(
  tensors: ReadonlyMap<string, StateTensor>,
  metadata: Record<string, string> = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const typed = new Map<string, SafeTensor>();
  const digests: [string, string][] = [];
  for (const [name, { shape, data }] of tensors) {
    const tensor = toSafeTensor(shape, data);
    typed.set(name, tensor);
    digests.push([name, await digest(tensor)]);
  }
  // diffusers requires "format".
  return encodeSafetensors(typed, {
    ...metadata,
    format: "pt",
    [DIGESTS_KEY]: JSON.stringify(digests.sort()),
  });
}

function toSafeTensor(shape: number[], data: StateTensor["data"]): SafeTensor {
  if (data instanceof Float64Array) return { dtype: "F64", shape, data };
  if (data instanceof Float32Array) return { dtype: "F32", shape, data };
  if (data instanceof Uint32Array) return { dtype: "U32", shape, data };
  if (data instanceof Uint8Array) return { dtype: "U8", shape, data };
  return { dtype: "F16", shape, data: new Uint16Array(data.buffer, data.byteOffset, data.length) };
}

/** A decoded weight file. */
export interface WeightFile extends SafetensorsFile {
  /** True if it carries digests, as files written by this project do. */
  verified: boolean;
}

/**
 * Decodes a safetensors file, and verifies it against its digests if it has any.
 *
 * @param source the file's name, for messages
 * @throws {CheckpointError} naming the file and, where there is one, the tensor
 */
export async function decodeWeights(bytes: Uint8Array<ArrayBuffer>, source: string): Promise<WeightFile> {
  const file = decodeSafetensors(bytes, source);
  const { [DIGESTS_KEY]: text, ...metadata } = file.metadata;
  if (text !== undefined) {
    const expected = parseDigests(text, source);
    for (const [name, tensor] of file.tensors) {
      if (await digest(tensor) !== expected.get(name)) {
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

async function digest({ dtype, shape, data }: SafeTensor): Promise<string> {
  return await sha256Of(`${dtype} ${shape}\n`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function parseDigests(text: string, source: string): Map<string, string> {
  try {
    return new Map(JSON.parse(text));
  } catch {
    throw new CheckpointError(`${source}: the digests in its metadata are damaged`);
  }
}
