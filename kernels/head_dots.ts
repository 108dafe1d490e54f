/**
 * Launcher of `head_dots.wgsl`: dot products of the heads of two tensors.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { headDotsKernel } from "./sources.ts";

/** Shape of a tensor of heads. */
export interface HeadDotsShape {
  readonly batch: number;
  /** Positions per image. */
  readonly length: number;
  /** Channels of all heads together, a multiple of `heads`. */
  readonly channels: number;
  readonly heads: number;
}

/** Heads per workgroup: 64 invocations, eight per head. */
const HEADS_PER_WORKGROUP = 8;

/**
 * `dots[n,h,i] = sum over d of y[n,i,h,d] dy[n,i,h,d]`.
 *
 * @param buffers `y`, `dy` [N, T, Cp]; `dots` [N, heads, T] float32
 */
export function headDots<B>(
  { batch, length, channels, heads }: HeadDotsShape,
  { y, dy, dots }: { y: B; dy: B; dots: B },
  label = "head dots",
): Launch<B>[] {
  const positions = batch * length;
  const row = 4 * Math.ceil(channels / 4);
  const size = channels / heads;
  const groups = grid1d(positions * heads, HEADS_PER_WORKGROUP);
  const params = { positions, length, heads };
  return size % 4 === 0
    ? [
      launch(
        headDotsKernel,
        "vectors",
        { ...params, size: size / 4, row: row / 4 },
        { y, dy, dots },
        groups,
        {
          label,
        },
      ),
    ]
    : [
      launch(
        headDotsKernel,
        "scalars",
        { ...params, size, row },
        { y_scalars: y, dy_scalars: dy, dots },
        groups,
        { label },
      ),
    ];
}
