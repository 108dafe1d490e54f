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
import { describeStandIn } from "./stand_in.ts";

/** Typed array of each dtype. 16-bit floats are held as bits: see {@linkcode toFloat32}. */
export interface TypedArrays<B extends ArrayBufferLike = ArrayBufferLike> {
  /** One byte an element, 0 or 1. */
  BOOL: Uint8Array<B>;
  /** Unsigned, 8 bits. */
  U8: Uint8Array<B>;
  /** Signed, 8 bits. */
  I8: Int8Array<B>;
  /** Signed, 16 bits. */
  I16: Int16Array<B>;
  /** Unsigned, 16 bits. */
  U16: Uint16Array<B>;
  /** IEEE 754 half precision, as bits. */
  F16: Uint16Array<B>;
  /** The upper half of a 32-bit float, as bits. */
  BF16: Uint16Array<B>;
  /** Signed, 32 bits. */
  I32: Int32Array<B>;
  /** Unsigned, 32 bits. */
  U32: Uint32Array<B>;
  /** IEEE 754 single precision. */
  F32: Float32Array<B>;
  /** IEEE 754 double precision. */
  F64: Float64Array<B>;
  /** Signed, 64 bits. */
  I64: BigInt64Array<B>;
  /** Unsigned, 64 bits. */
  U64: BigUint64Array<B>;
}

/** Element type, as spelled in the header. */
export type Dtype = keyof TypedArrays;

/** One tensor: its element type, its shape (`[]` for a scalar), and its elements in row-major order. */
export type SafeTensor<B extends ArrayBufferLike = ArrayBufferLike> = {
  [D in Dtype]: { dtype: D; shape: number[]; data: TypedArrays<B>[D] };
}[Dtype];

/** Contents of a safetensors file. */
export interface SafetensorsFile {
  /** Tensors by name, in the order of their data. */
  tensors: Map<string, SafeTensor<ArrayBuffer>>;
  /** The header's `__metadata__`; empty if there is none. */
  metadata: Record<string, string>;
}

interface ArrayType {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, byteOffset: number, length: number): TypedArrays<ArrayBuffer>[Dtype];
}

// In the order of the reference implementation, which writes the last of these first: with wide elements in front, every
// tensor is aligned to its element size, and the same tensors give the same bytes in both implementations.
const ARRAY_TYPES: { readonly [D in Dtype]: ArrayType } = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
};
const DTYPES = Object.keys(ARRAY_TYPES) as Dtype[];

/** Limit on the header, as in the reference implementation, so that a hostile file cannot keep the parser busy. */
const MAX_HEADER_BYTES = 100_000_000;
const METADATA_KEY = "__metadata__";

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
  const header = parseHeader(bytes.subarray(8, 8 + headerBytes), source);
  const data = bytes.subarray(8 + headerBytes);

  const metadata = Object.hasOwn(header, METADATA_KEY) ? header[METADATA_KEY] : {};
  if (!isStringRecord(metadata)) return fail(`${METADATA_KEY} must map names to text`);

  const entries = Object.entries(header).filter(([name]) => name !== METADATA_KEY)
    .map(([name, value]) => checkEntry(name, value, source));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);

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

/**
 * The elements of a floating-point tensor as 32-bit floats: F32 as it is, F16 and BF16 exactly, F64 rounded.
 *
 * @param tensor F32, F16, BF16 or F64
 * @param where file and tensor, for the message
 * @throws {CheckpointError} for any other dtype
 */
export function toFloat32<B extends ArrayBufferLike>(
  tensor: SafeTensor<B>,
  where: string,
): Float32Array<B | ArrayBuffer> {
  switch (tensor.dtype) {
    case "F32":
      return tensor.data;
    case "F64":
      return Float32Array.from(tensor.data);
    case "BF16": {
      // Loops, because TypedArray.from with a function takes seconds for the tens of millions of a network.
      const bits = new Uint32Array(tensor.data.length);
      for (let i = 0; i < bits.length; i++) bits[i] = tensor.data[i]! << 16; // as long as bits
      return new Float32Array(bits.buffer);
    }
    case "F16": {
      const { buffer, byteOffset, length } = tensor.data;
      return new Float32Array(new Float16Array(buffer, byteOffset, length));
    }
    default:
      throw new CheckpointError(`${where}: expected dtype F32, F16, BF16 or F64, got ${tensor.dtype}`);
  }
}

interface Entry {
  name: string;
  dtype: Dtype;
  shape: number[];
  begin: number;
  end: number;
}

function parseHeader(bytes: Uint8Array<ArrayBuffer>, source: string): Record<string, unknown> {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (error) {
    throw new CheckpointError(`${source}: the header is not JSON: ${(error as Error).message}`);
  }
  if (!isRecord(header)) throw new CheckpointError(`${source}: the header is not a JSON object`);
  const repeated = repeatedKey(text);
  if (repeated !== undefined) {
    throw new CheckpointError(`${source}: the header has ${JSON.stringify(repeated)} twice`);
  }
  return header;
}

/** First duplicate key in an object of well-formed JSON, of which `JSON.parse` would silently take the last value. */
function repeatedKey(json: string): string | undefined {
  const open: Set<string>[] = [];
  for (let at = 0; at < json.length; at++) {
    if (json[at] === "{") open.push(new Set());
    else if (json[at] === "}") open.pop();
    else if (json[at] === '"') {
      const start = at;
      while (json[++at] !== '"') if (json[at] === "\\") at++;
      let next = at + 1;
      while (" \t\r\n".includes(json[next]!)) next++; // ends: well-formed JSON does not end after a string in an object
      if (json[next] !== ":") continue;
      const name: string = JSON.parse(json.slice(start, at + 1));
      const keys = open.at(-1);
      if (keys?.has(name)) return name;
      keys?.add(name);
    }
  }
}

function checkEntry(name: string, value: unknown, source: string): Entry {
  const fail = (what: string): never => {
    throw new CheckpointError(`${source}: tensor ${JSON.stringify(name)}: ${what}`);
  };
  if (!isRecord(value)) return fail("its header entry is not an object");
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(ARRAY_TYPES, dtype)) {
    return fail(`unknown dtype ${JSON.stringify(dtype)}, expected one of ${DTYPES.join(", ")}`);
  }
  if (!isSizes(shape)) {
    return fail(`shape ${JSON.stringify(shape)} is not a list of whole numbers of 0 or more`);
  }
  const [begin, end, ...others] = isSizes(offsets) ? offsets : [];
  if (begin === undefined || end === undefined || others.length > 0 || begin > end) {
    return fail(`data_offsets ${JSON.stringify(offsets)} is not a pair [begin, end]`);
  }
  const bytes = elementCount(shape) * ARRAY_TYPES[dtype as Dtype].BYTES_PER_ELEMENT;
  if (bytes !== end - begin) {
    return fail(`shape [${shape}] of ${dtype} takes ${bytes} bytes, data_offsets give it ${end - begin}`);
  }
  return { name, dtype: dtype as Dtype, shape, begin, end };
}

function checkEncodable(name: string, { dtype, shape, data }: SafeTensor): void {
  const fail = (what: string): never => {
    throw new CheckpointError(`cannot write tensor ${JSON.stringify(name)}: ${what}`);
  };
  if (name === METADATA_KEY) fail("the format reserves this name");
  if (!isSizes(shape)) fail(`shape [${shape}] is not a list of whole numbers of 0 or more`);
  if (!(data instanceof ARRAY_TYPES[dtype])) {
    fail(`dtype ${dtype} does not match a ${data.constructor.name}`);
  }
  if (data.length !== elementCount(shape)) {
    fail(`shape [${shape}] has ${elementCount(shape)} elements, the data ${data.length}`);
  }
}

/** Size of an element in bytes. */
export function bytesPerElement(dtype: Dtype): number {
  return ARRAY_TYPES[dtype].BYTES_PER_ELEMENT;
}

/**
 * A tensor of little-endian bytes: a view where they are aligned to the element size, else a copy.
 *
 * @param bytes as many as the shape takes
 */
export function tensorFromBytes(
  dtype: Dtype,
  shape: number[],
  bytes: Uint8Array<ArrayBuffer>,
): SafeTensor<ArrayBuffer> {
  const type = ARRAY_TYPES[dtype];
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  const data = new type(aligned.buffer, aligned.byteOffset, bytes.length / type.BYTES_PER_ELEMENT);
  return { dtype, shape, data } as SafeTensor<ArrayBuffer>;
}

function elementCount(shape: number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isStringRecord(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((text) => typeof text === "string");
}
