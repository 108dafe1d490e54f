/**
 * Shapes of tensors as several launchers take them.
 *
 * @module
 */
import type { Tensor } from "../tensor.ts";

/** Shape of images whose rows and columns a kernel tells apart. */
export function planeShape(x: Tensor): { batch: number; height: number; width: number; channels: number } {
  const [batch, height, width, channels] = x.shape;
  return { batch, height, width, channels };
}

/** Shape of images as batch, pixels and channels. */
export function imageShape(x: Tensor): { batch: number; spatial: number; channels: number } {
  const [batch, height, width, channels] = x.shape;
  return { batch, spatial: height * width, channels };
}

/** The same as {@linkcode imageShape}, under the names of the losses. */
export function pixelShape(x: Tensor): { batch: number; pixels: number; channels: number } {
  const { batch, spatial, channels } = imageShape(x);
  return { batch, pixels: spatial, channels };
}

/** Shape as rows of channels, one a pixel. */
export function rowShape(x: Tensor): { rows: number; channels: number } {
  const { batch, spatial, channels } = imageShape(x);
  return { rows: batch * spatial, channels };
}
