/**
 * Encoding of protocol buffers, as far as TensorBoard's events need it.
 *
 * @module
 */

/** Wire types (https://protobuf.dev/programming-guides/encoding). */
const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** An encoded field. */
export type Field = Uint8Array;

/** A message of fields in their order; undefined ones are left out. */
export function message(...fields: readonly (Field | undefined)[]): Uint8Array {
  const given = fields.filter((field) => field !== undefined);
  const bytes = new Uint8Array(given.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const field of given) {
    bytes.set(field, offset);
    offset += field.length;
  }
  return bytes;
}

/** A whole number from 0, of type `int32`, `int64`, `bool` or an enumeration. */
export function varintField(field: number, value: number): Field {
  return message(tag(field, VARINT), varint(value));
}

/** A number of type `double`. */
export function doubleField(field: number, value: number): Field {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value, true);
  return message(tag(field, FIXED64), bytes);
}

/** A number of type `float`. */
export function floatField(field: number, value: number): Field {
  return message(tag(field, FIXED32), float32(value));
}

/** A list of numbers of type `float`, packed as in proto3. */
export function floatsField(field: number, values: readonly number[]): Field {
  return bytesField(field, message(...values.map(float32)));
}

/** Bytes, or a message within a message. */
export function bytesField(field: number, value: Uint8Array): Field {
  return message(tag(field, LENGTH_DELIMITED), varint(value.length), value);
}

/** Text. */
export function stringField(field: number, value: string): Field {
  return bytesField(field, new TextEncoder().encode(value));
}

function tag(field: number, wireType: number): Uint8Array {
  return varint(field * 8 + wireType);
}

function float32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return bytes;
}

/** Seven bits a byte, the lowest first; numbers above 32 bits rule out shifts. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Uint8Array.of(...bytes, rest);
}
