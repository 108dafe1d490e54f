/**
 * Symbolic tensors of the recorded graph: shape and type, no memory.
 *
 * @module
 */
import type { RecordLayout } from "../../kernels/records/record.ts";

/** Logical shape, always NHWC: [batch, height, width, channels]; a vector per sample is [N, 1, 1, D]. */
export type Shape = readonly [batch: number, height: number, width: number, channels: number];

/**
 * Owner of a tensor's memory: `input` and `parameter` are bound from outside, `gradient` is a parameter's slice of the flat
 * gradient buffer, `activation` is placed by the memory planner, `contribution` (to gradients, by each sample) is
 * part of an activation, see `SampleSums`.
 */
export type Role = "input" | "parameter" | "gradient" | "activation" | "contribution";

/** Floating-point element types. */
export type FloatType = "float32" | "float16";

/** Numeric element types. */
export type NumberType = FloatType | "uint32" | "uint8";

/** Element type: a number, or a record shared by kernels. */
export type ElementType = NumberType | RecordLayout;

/** Bytes per number. */
export const ELEMENT_BYTES: Readonly<Record<NumberType, number>> = {
  float32: 4,
  float16: 2,
  uint32: 4,
  uint8: 1,
};

/** Bytes per element. */
export function elementBytes(type: ElementType): number {
  return isNumber(type) ? ELEMENT_BYTES[type] : type.bytes;
}

/** Formats a type for messages: `uint32`, or a record's name. */
export function showType(type: ElementType): string {
  return isNumber(type) ? type : type.name;
}

function isNumber(type: ElementType): type is NumberType {
  return typeof type === "string";
}

/** Value in the graph, written by exactly one node. */
export interface Tensor {
  readonly id: number;
  readonly shape: Shape;
  readonly role: Role;
  /** Elements in memory, channel padding included. */
  readonly elements: number;
  readonly type: ElementType;
  /** Bytes in memory. */
  readonly bytes: number;
  /** Name in messages: of the parameter or input, or the label of the operation that writes it. */
  readonly name: string;
  /** True for parameters and tensors computed from one: they need a gradient. */
  readonly trainable: boolean;
}

/** Channels in memory: padded to a multiple of 4 for `vec4` loads along channels. */
export function paddedChannels(channels: number): number {
  return 4 * Math.ceil(channels / 4);
}

/** Elements of a tensor in memory. Channels of floats are padded; integers and records are packed. */
export function elementsInMemory([batch, height, width, channels]: Shape, type: ElementType): number {
  const padded = type === "float32" || type === "float16";
  return batch * height * width * (padded ? paddedChannels(channels) : channels);
}

/** Bytes of a tensor in memory, rounded up to whole words, since kernels read uint8 by the word. */
export function bytesInMemory(shape: Shape, type: ElementType): number {
  return 4 * Math.ceil(elementBytes(type) * elementsInMemory(shape, type) / 4);
}

/** Formats a shape for messages: `[16,32,32,3]`. */
export function showShape(shape: readonly number[]): string {
  return `[${shape.join(",")}]`;
}
