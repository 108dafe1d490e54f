/**
 * The safetensors file format (https://github.com/huggingface/safetensors): eight bytes with the length of a JSON
 * header, the header with each tensor's dtype, shape and byte range, then the data, little-endian and row-major.
 *
 * @example
 * ```ts
 * import { decodeSafetensors, encodeSafetensors } from "./safetensors.ts";
 *
 * const bytes = encodeSafetensors(
 *   new Map([["conv_in.bias", { dtype: "F32", shape: [2], data: new Float32Array([0.5, -1]) }]]),
 * );
 * const { tensors } = decodeSafetensors(bytes, "example.safetensors");
 * console.log(tensors.get("conv_in.bias")?.data); // Float32Array(2) [ 0.5, -1 ]
 * ```
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import { DTYPES, elementCount, isOfDtype, isSizes, type SafeTensor, tensorFromBytes } from "./dtypes.ts";
import { decodeHeader, METADATA_KEY } from "./safetensors_header.ts";
import { describeStandIn } from "./stand_in.ts";

/** Contents of a safetensors file. */
export interface SafetensorsFile {
  /** Tensors by name, in the order of their data. */
  tensors: Map<string, SafeTensor<ArrayBuffer>>;
  /** The header's `__metadata__`; empty if there is none. */
  metadata: Record<string, string>;
}

/** Limit on the header, as in the reference implementation, so that a hostile file cannot keep the parser busy. */
const MAX_HEADER_BYTES = 100_000_000;

/**
 * Encodes a safetensors file. The same tensors and metadata always give the same bytes, in whatever order they come.
 *
 * @param tensors by name; `data` must have as many elements as `shape`
 * @param metadata free text; the default marks PyTorch's layout, which diffusers requires
 * @throws {CheckpointError} if a tensor's data does not fit its dtype or shape, or a name is not allowed
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, SafeTensor>,
  metadata: Record<string, string> = { format: "pt" },
): Uint8Array<ArrayBuffer> {
  const ordered = [...tensors].sort(([nameA, a], [nameB, b]) =>
    DTYPES.indexOf(b.dtype) - DTYPES.indexOf(a.dtype) || (nameA < nameB ? -1 : 1)
  );
  // Joined by hand: an object would reorder names that look like numbers, and drop "__proto__".
  const entries = [`${JSON.stringify(METADATA_KEY)}:${JSON.stringify(metadata)}`];
  let dataBytes = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    checkEncodable(name, { dtype, shape, data } as SafeTensor);
    const begin = dataBytes;
    dataBytes += data.byteLength;
    const entry = { dtype, shape, data_offsets: [begin, dataBytes] };
    entries.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  }
  const header = new TextEncoder().encode(`{${entries.join(",")}}`);
  const headerBytes = Math.ceil(header.length / 8) * 8;

  const file = new Uint8Array(8 + headerBytes + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(header, 8);
  file.fill(0x20, 8 + header.length, 8 + headerBytes); // spaces, which JSON ignores
  let offset = 8 + headerBytes;
  for (const [, { data }] of ordered) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return file;
}

/**
 * Decodes a safetensors file and validates all of it: the header's length and JSON, every name, dtype and shape, and that
 * the byte ranges cover the data without gaps or overlaps.
 *
 * @param bytes the whole file; tensors are views of it where alignment allows, so do not modify it afterwards
 * @param source the file's name, for messages
 * @throws {CheckpointError} naming the file and, where there is one, the tensor
 */
export function decodeSafetensors(bytes: Uint8Array<ArrayBuffer>, source: string): SafetensorsFile {
  const fail = (what: string): never => {
    throw new CheckpointError(`${source}: ${what}`);
  };
  const standIn = describeStandIn(bytes);
  if (standIn !== undefined) fail(standIn);
  if (bytes.length < 8) fail(`not a safetensors file: ${bytes.length} bytes, at least 8 are needed`);
  const headerBytes = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES) {
    fail(`not a safetensors file: a header of ${headerBytes} bytes, at most ${MAX_HEADER_BYTES} are allowed`);
  }
  if (headerBytes > bytes.length - 8) {
    fail(
      `truncated: the header is ${headerBytes} bytes long, the file has ${bytes.length - 8} after the length`,
    );
  }
  const { metadata, entries } = decodeHeader(bytes.subarray(8, 8 + headerBytes), source);
  const data = bytes.subarray(8 + headerBytes);

  const tensors = new Map<string, SafeTensor<ArrayBuffer>>();
  let covered = 0;
  let previous = "";
  for (const { name, dtype, shape, begin, end } of entries) {
    const where = `tensor ${JSON.stringify(name)}`;
    if (begin < covered) {
      fail(`${where} overlaps tensor ${JSON.stringify(previous)} (bytes ${begin} to ${covered})`);
    }
    if (begin > covered) fail(`bytes ${covered} to ${begin}, before ${where}, belong to no tensor`);
    if (end > data.length) {
      fail(`truncated: ${where} ends at byte ${end} of the data, the file has ${data.length}`);
    }
    tensors.set(name, tensorFromBytes(dtype, shape, data.subarray(begin, end)));
    covered = end;
    previous = name;
  }
  if (covered !== data.length) fail(`bytes ${covered} to ${data.length}, at the end, belong to no tensor`);
  return { tensors, metadata };
}

function checkEncodable(name: string, { dtype, shape, data }: SafeTensor): void {
  const fail = (what: string): never => {
    throw new CheckpointError(`cannot write tensor ${JSON.stringify(name)}: ${what}`);
  };
  if (name === METADATA_KEY) fail("the format reserves this name");
  if (!isSizes(shape)) fail(`shape [${shape}] is not a list of whole numbers of 0 or more`);
  if (!isOfDtype(data, dtype)) {
    fail(`dtype ${dtype} does not match a ${data.constructor.name}`);
  }
  if (data.length !== elementCount(shape)) {
    fail(`shape [${shape}] has ${elementCount(shape)} elements, the data ${data.length}`);
  }
}
