/**
 * Encoding of records in device buffers by the layouts of WGSL structs, which are generated in `layouts.ts`.
 *
 * @module
 */
import type { ScalarType } from "../struct.ts";

/** Layout of a WGSL struct of scalars. */
export interface RecordLayout {
  /** Name of the struct. */
  readonly name: string;
  /** Size and array stride in bytes. */
  readonly bytes: number;
  /** Type and byte offset of each field, in order; WGSL names in camel case. */
  readonly fields: Readonly<Record<string, { readonly type: ScalarType; readonly offset: number }>>;
}

/** Values of a record, by field. */
export type RecordValues<L extends RecordLayout> = { readonly [F in keyof L["fields"]]: number };

/**
 * Encodes a record.
 *
 * @param into buffer to write to; default a new buffer of one record
 * @param index index of the record in `into`
 * @returns `into`
 */
export function encodeRecord<const L extends RecordLayout>(
  layout: L,
  values: RecordValues<L>,
  into: ArrayBuffer = new ArrayBuffer(layout.bytes),
  index = 0,
): ArrayBuffer {
  const view = new DataView(into, layout.bytes * index, layout.bytes);
  for (const [name, { type, offset }] of Object.entries(layout.fields)) {
    writeScalar(view, offset, type, values[name]);
  }
  return into;
}

/** Decodes record `index` of `bytes`. */
export function decodeRecord<const L extends RecordLayout>(
  layout: L,
  bytes: ArrayBuffer,
  index = 0,
): RecordValues<L> {
  const view = new DataView(bytes, layout.bytes * index, layout.bytes);
  const values = Object.entries(layout.fields).map(([name, { type, offset }]) => {
    return [name, readScalar(view, offset, type)];
  });
  return Object.fromEntries(values) as RecordValues<L>;
}

/** Number of records of a layout that fit in a buffer. */
export function countRecords({ bytes }: RecordLayout, { byteLength }: ArrayBuffer): number {
  return Math.floor(byteLength / bytes);
}

/** Writes a scalar in WebGPU's byte order, little-endian. */
export function writeScalar(view: DataView, offset: number, type: ScalarType, value: number): void {
  if (type === "f32") view.setFloat32(offset, value, true);
  else if (type === "u32") view.setUint32(offset, value, true);
  else view.setInt32(offset, value, true);
}

function readScalar(view: DataView, offset: number, type: ScalarType): number {
  if (type === "f32") return view.getFloat32(offset, true);
  return type === "u32" ? view.getUint32(offset, true) : view.getInt32(offset, true);
}
