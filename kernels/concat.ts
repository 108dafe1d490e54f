/**
 * Launchers of `concat.wgsl`: concatenation along channels, and its gradient, a channel slice.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { concatKernel } from "./sources.ts";

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/** Sizes of a concatenation. */
export interface ConcatShape {
  /** Pixels of the whole batch, N * H * W. */
  readonly rows: number;
  /** Channels of the first tensor, without padding. */
  readonly a: number;
  /** Channels of the second tensor, without padding. */
  readonly b: number;
}

/**
 * `y = [a, b]` along channels.
 *
 * @param buffers `a` [rows, Ap], `b` [rows, Bp], `y` [rows, (A + B)p]
 */
export function concatForward<B>(
  { rows, a: before, b: count }: ConcatShape,
  { a, b, y }: { a: B; b: B; y: B },
  label = "concat",
): Launch<B>[] {
  const columns = Math.ceil((before + count) / 4);
  const params = { rows, columns, before, count, a_stride: padded(before), b_stride: padded(count) };
  const workgroups = grid1d(rows * columns, PER_WORKGROUP);
  return before % 4 === 0 ? [launch(concatKernel, "forward", params, { a, b, y }, workgroups, { label })] : [
    launch(concatKernel, "forward_scalar", params, { a_scalars: a, b_scalars: b, y }, workgroups, {
      label,
    }),
  ];
}

/** Sizes of a channel slice. */
export interface SliceShape {
  /** Pixels of the whole batch, N * H * W. */
  readonly rows: number;
  /** Channels of `dy`, without padding. */
  readonly channels: number;
  /** First channel of the slice. */
  readonly first: number;
  /** Number of channels in the slice. */
  readonly count: number;
}

/**
 * `dx = addend + dy[…, first … first + count - 1]`: gradient of {@linkcode concatForward} with respect to one operand.
 *
 * @param buffers `dy` [rows, Cp]; `addend`, `dx` [rows, countp]
 */
export function sliceChannels<B>(
  { rows, channels, first, count }: SliceShape,
  { dy, addend, dx }: { dy: B; addend?: B; dx: B },
  label = "slice",
): Launch<B>[] {
  const columns = Math.ceil(count / 4);
  const params = { rows, columns, before: first, count, a_stride: padded(channels), b_stride: 0 };
  const workgroups = grid1d(rows * columns, PER_WORKGROUP);
  const options = { constants: { has_addend: Number(addend !== undefined) }, label };
  // All declared buffers must be bound; dy stands in for an absent addend, which is not read.
  return first % 4 === 0
    ? [launch(concatKernel, "slice", params, { dy, addend: addend ?? dy, dx }, workgroups, options)]
    : [launch(
      concatKernel,
      "slice_scalar",
      params,
      { dy_scalars: dy, addend: addend ?? dy, dx },
      workgroups,
      options,
    )];
}

function padded(channels: number): number {
  return 4 * Math.ceil(channels / 4);
}
