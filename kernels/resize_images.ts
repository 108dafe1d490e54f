/**
 * Launcher of `resize_images.wgsl`: bilinear resize of 8-bit RGB images. Forward only.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { resizeImagesKernel } from "./sources.ts";

/** Shape of a resize. */
export interface ResizeShape {
  readonly batch: number;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly outHeight: number;
  readonly outWidth: number;
  /** Place of a pixel's value in it: 0.5 for its middle, 0 for its corner. */
  readonly centre: number;
  /** Results are `scale * byte + shift`. */
  readonly scale: number;
  readonly shift: number;
}

/** Pixels per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/**
 * Bilinear interpolation of bytes, scaled to floats.
 *
 * @param buffers `images` bytes [N, H, W, 3] in whole words, `y` [N, H', W', 4]
 */
export function resizeImagesForward<B>(
  { batch, inHeight, inWidth, outHeight, outWidth, centre, scale, shift }: ResizeShape,
  { images, y }: { images: B; y: B },
  label = "resize",
): Launch<B>[] {
  const count = batch * outHeight * outWidth;
  const params = {
    ...{ count, in_h: inHeight, in_w: inWidth, out_h: outHeight, out_w: outWidth },
    ...{ centre, scale, shift },
  };
  const workgroups = grid1d(count, PER_WORKGROUP);
  return [launch(resizeImagesKernel, "bilinear", params, { images, y }, workgroups, { label })];
}
