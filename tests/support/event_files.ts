/** Reader of TensorBoard's event files: frames with their checksums, and protocol buffers by field number. */
import assert from "node:assert/strict";
import { maskedCrc32c } from "../../lib/tensorboard/crc32c.ts";

/** Fields of a message: numbers, or bytes of texts and messages. */
type Message = Map<number, (number | Uint8Array)[]>;

/** A value of an event. */
export interface ReadValue {
  readonly step: number;
  readonly tag: string;
  /** Of a scalar. */
  readonly scalar?: number;
  /** Of an image. */
  readonly png?: Uint8Array;
  /** Of a tensor of text. */
  readonly text?: string;
}

/** Contents of an event file. */
export interface ReadEvents {
  readonly version: string;
  /** Steps from which earlier files no longer count. */
  readonly restarts: readonly number[];
  readonly values: readonly ReadValue[];
}

/** Reads an event file; fails where a checksum is wrong. */
export function readEventFile(bytes: Uint8Array): ReadEvents {
  const events = records(bytes).map(parse);
  const values = events.flatMap((event) =>
    messages(event, 5).flatMap((summary) => messages(summary, 1)).map((value): ReadValue => ({
      step: number(event, 2) ?? 0,
      tag: text(value, 1),
      scalar: number(value, 2),
      png: messages(value, 4).map((image) => image.get(4)![0] as Uint8Array)[0],
      text: messages(value, 8).filter((tensor) => tensor.has(8)).map((tensor) => text(tensor, 8))[0],
    }))
  );
  const restarts = events.filter((event) => event.has(7)).map((event) => number(event, 2)!);
  return { version: text(events[0], 3), restarts, values };
}

function records(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let offset = 0; offset < bytes.length;) {
    const length = Number(view.getBigUint64(offset, true));
    assert.equal(view.getUint32(offset + 8, true), maskedCrc32c(bytes.subarray(offset, offset + 8)));
    const data = bytes.subarray(offset + 12, offset + 12 + length);
    assert.equal(view.getUint32(offset + 12 + length, true), maskedCrc32c(data));
    found.push(data);
    offset += 16 + length;
  }
  return found;
}

function parse(bytes: Uint8Array): Message {
  const fields: Message = new Map();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  const varint = () => {
    let [value, scale] = [0, 1];
    for (;; scale *= 128) {
      const byte = bytes[offset++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const take = (length: number) => bytes.subarray(offset, offset += length);
  while (offset < bytes.length) {
    const tag = varint();
    const read: Record<number, () => number | Uint8Array> = {
      0: varint,
      1: () => view.getFloat64((offset += 8) - 8, true),
      2: () => take(varint()),
      5: () => view.getFloat32((offset += 4) - 4, true),
    };
    const field = Math.floor(tag / 8);
    fields.set(field, [...fields.get(field) ?? [], read[tag % 8]()]);
  }
  return fields;
}

function messages(message: Message, field: number): Message[] {
  return (message.get(field) ?? []).map((value) => parse(value as Uint8Array));
}

function number(message: Message, field: number): number | undefined {
  return message.get(field)?.[0] as number | undefined;
}

function text(message: Message, field: number): string {
  return new TextDecoder().decode(message.get(field)?.[0] as Uint8Array);
}
