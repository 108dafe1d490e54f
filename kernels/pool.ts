/**
 * Launchers of `pool.wgsl`: max and average pooling over windows. Forward only.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { poolKernel } from "./sources.ts";

/** Shape of a pooling. Every window must have a pixel inside the image. */
export interface PoolShape {
  readonly batch: number;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly outHeight: number;
  readonly outWidth: number;
  /** Channels without padding. */
  readonly channels: number;
  readonly windowHeight: number;
  readonly windowWidth: number;
  readonly stride: number;
  /** Rows above and columns left of the image that windows may cover. */
  readonly padTop: number;
  readonly padLeft: number;
}

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/**
 * Largest value of each window.
 *
 * @param buffers `x` [N, H, W, Cp], `y` [N, H', W', Cp]
 */
export function maxPoolForward<B>(
  shape: PoolShape,
  buffers: { x: B; y: B },
  label = "max pool",
): Launch<B>[] {
  return pool("largest", shape, buffers, label);
}

/**
 * Mean of each window's pixels inside the image (PyTorch's `count_include_pad=False`).
 *
 * @param buffers `x` [N, H, W, Cp], `y` [N, H', W', Cp]
 */
export function averagePoolForward<B>(
  shape: PoolShape,
  buffers: { x: B; y: B },
  label = "average pool",
): Launch<B>[] {
  return pool("average", shape, buffers, label);
}

function pool<B>(
  entry: "largest" | "average",
  s: PoolShape,
  { x, y }: { x: B; y: B },
  label: string,
): Launch<B>[] {
  const columns = Math.ceil(s.channels / 4);
  const count = s.batch * s.outHeight * s.outWidth * columns;
  const params = {
    ...{ count, columns, in_h: s.inHeight, in_w: s.inWidth, out_h: s.outHeight, out_w: s.outWidth },
    ...{ window_h: s.windowHeight, window_w: s.windowWidth, stride: s.stride },
    ...{ pad_top: s.padTop, pad_left: s.padLeft },
  };
  return [launch(poolKernel, entry, params, { x, y }, grid1d(count, PER_WORKGROUP), { label })];
}
