/**
 * Launcher of `rescale.wgsl`: a linear function of each value.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { rescaleKernel } from "./sources.ts";

/** Tensors and coefficients of {@linkcode rescaleForward}. */
export interface RescaleShape {
  /** Rows of channels: N * H * W. */
  readonly rows: number;
  /** Channels without padding. */
  readonly channels: number;
  /** Samples that share the rows equally. Default 1. */
  readonly samples?: number;
  readonly factor: number;
  readonly offset: number;
}

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/**
 * `y = addend + factor x / divisor + offset`. The gradient of x is the same of y's gradient, with offset 0.
 *
 * @param buffers `x`, `addend`, `y` [rows, Cp]; `divisors` [samples] float32, default 1
 */
export function rescaleForward<B>(
  { rows, channels, samples = 1, factor, offset }: RescaleShape,
  { x, addend, divisors, y }: { x: B; addend?: B; divisors?: B; y: B },
  label = "rescale",
): Launch<B>[] {
  const columns = Math.ceil(channels / 4);
  const count = rows * columns;
  const constants = {
    has_addend: Number(addend !== undefined),
    has_divisors: Number(divisors !== undefined),
  };
  // All declared buffers must be bound; x stands in for absent ones, which are not read.
  const buffers = { x, addend: addend ?? x, divisors: divisors ?? x, y };
  const params = { count, channels, columns, per_sample: count / samples, factor, offset };
  return [
    launch(rescaleKernel, "forward", params, buffers, grid1d(count, PER_WORKGROUP), { constants, label }),
  ];
}
