/**
 * Element types of tensors in files, and tensors of them in memory. They are named as in safetensors.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";

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
/** All element types, from narrow to wide. */
export const DTYPES: readonly Dtype[] = Object.keys(ARRAY_TYPES) as Dtype[];

/** True for the name of an element type. */
export function isDtype(name: unknown): name is Dtype {
  return typeof name === "string" && Object.hasOwn(ARRAY_TYPES, name);
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

/** True if data are of the array type of a dtype. */
export function isOfDtype(data: ArrayBufferView, dtype: Dtype): boolean {
  return data instanceof ARRAY_TYPES[dtype];
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

/** Number of elements of a shape. */
export function elementCount(shape: number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** True for a list of whole numbers of 0 or more. */
export function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
