/**
 * Symbolic tensors: what the recorded graph is made of. They have shapes and types but no memory.
 *
 * @module
 */
import type { RecordLayout } from "../../kernels/records/record.ts";

/** Logical shape, always [batch, height, width, channels]; a vector per sample is [N, 1, 1, D]. */
export type Shape = readonly [batch: number, height: number, width: number, channels: number];

/**
 * Where a tensor's memory comes from: `input` and `parameter` are bound from outside, `gradient` is the slice of the flat
 * gradient buffer that belongs to a parameter, `activation` is placed by the planner.
 */
export type Role = "input" | "parameter" | "gradient" | "activation";

/** Types of elements that can be calculated with. */
export type FloatType = "float32" | "float16";

/** Types of elements that are numbers. */
export type NumberType = FloatType | "uint32" | "uint8";

/** How an element lies in memory: a number, or a record that several kernels share. */
export type ElementType = NumberType | RecordLayout;

/** Bytes of a number. */
export const ELEMENT_BYTES: Readonly<Record<NumberType, number>> = {
  float32: 4,
  float16: 2,
  uint32: 4,
  uint8: 1,
};

/** Bytes of an element. */
export function elementBytes(type: ElementType): number {
  return isNumber(type) ? ELEMENT_BYTES[type] : type.bytes;
}

/** A type as it reads in messages: `uint32`, or a record's name. */
export function showType(type: ElementType): string {
  return isNumber(type) ? type : type.name;
}

function isNumber(type: ElementType): type is NumberType {
  return typeof type === "string";
}

/** One value of the graph. Every tensor is written by exactly one node, so sharing never goes wrong. */
export interface Tensor {
  readonly id: number;
  readonly shape: Shape;
  readonly role: Role;
  /** Elements in memory, channel padding included. */
  readonly elements: number;
  readonly type: ElementType;
  /** Bytes in memory. */
  readonly bytes: number;
  /** Parameter name, input name, or what made it; for messages. */
  readonly name: string;
  /** Whether a gradient must flow into it: a parameter, or computed from one. */
  readonly trainable: boolean;
}

/** Channels as they lie in memory: padded to a multiple of 4 so that `vec4` loads run along channels. */
export function paddedChannels(channels: number): number {
  return 4 * Math.ceil(channels / 4);
}

/** Elements that a tensor takes in memory. Channels are padded where they are floats; integers and records are packed. */
export function elementsInMemory([batch, height, width, channels]: Shape, type: ElementType): number {
  const padded = type === "float32" || type === "float16";
  return batch * height * width * (padded ? paddedChannels(channels) : channels);
}

/** Bytes that a tensor takes in memory, in whole words, since kernels read bytes by the word. */
export function bytesInMemory(shape: Shape, type: ElementType): number {
  return 4 * Math.ceil(elementBytes(type) * elementsInMemory(shape, type) / 4);
}

/** A shape as it reads in messages: `[16,32,32,3]`. */
export function showShape(shape: readonly number[]): string {
  return `[${shape.join(",")}]`;
}
