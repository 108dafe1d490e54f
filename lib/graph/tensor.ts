/**
 * Symbolic tensors: what the recorded graph is made of. They have shapes but no memory.
 *
 * @module
 */

/** Logical shape, always [batch, height, width, channels]; a vector per sample is [N, 1, 1, D]. */
export type Shape = readonly [batch: number, height: number, width: number, channels: number];

/**
 * Where a tensor's memory comes from: `input` and `parameter` are bound from outside, `gradient` is the slice of the flat
 * gradient buffer that belongs to a parameter, `activation` is placed by the planner.
 */
export type Role = "input" | "parameter" | "gradient" | "activation";

/** How an element lies in memory; 32-bit integers take the place of float32 where a tensor holds labels or the like. */
export type ElementType = "float32" | "float16";

/** Bytes of an element. */
export const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = { float32: 4, float16: 2 };

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

/** Elements an NHWC activation takes in memory, channel padding included. */
export function paddedElements([batch, height, width, channels]: Shape): number {
  return batch * height * width * paddedChannels(channels);
}

/** A shape as it reads in messages: `[16,32,32,3]`. */
export function showShape(shape: readonly number[]): string {
  return `[${shape.join(",")}]`;
}
