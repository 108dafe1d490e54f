/**
 * Lowering of pooling, upsampling and resizing.
 *
 * @module
 */
import { averagePoolBackward } from "../../../kernels/average_pool_gradient.ts";
import { globalAveragePoolBackward, globalAveragePoolForward } from "../../../kernels/global_average_pool.ts";
import { averagePoolForward, maxPoolForward, type PoolShape } from "../../../kernels/pool.ts";
import { resizeImagesForward } from "../../../kernels/resize_images.ts";
import { upsampleBackward, upsampleForward } from "../../../kernels/upsample.ts";
import { bothAxes, type PoolAttributes } from "../attributes.ts";
import type { Tensor } from "../tensor.ts";
import type { LoweringTable } from "./context.ts";
import { imageShape, planeShape } from "./shapes.ts";

/** Pooling, upsampling and resizing, and their gradients. */
export const resamplings: Pick<
  LoweringTable,
  | "maxPool"
  | "averagePool"
  | "averagePoolBackward"
  | "globalAveragePool"
  | "globalAveragePoolBackward"
  | "upsample"
  | "upsampleBackward"
  | "resizeImages"
> = {
  maxPool: (_, { label, attributes, in: { x }, out: { y } }) =>
    maxPoolForward(poolShape(x, y, attributes), { x, y }, label),
  averagePool: (_, { label, attributes, in: { x }, out: { y } }) =>
    averagePoolForward(poolShape(x, y, attributes), { x, y }, label),
  averagePoolBackward: (_, { label, in: operands, out }) =>
    averagePoolBackward(planeShape(operands.dy), { ...operands, ...out }, label),
  globalAveragePool: (_, { label, in: operands, out }) =>
    globalAveragePoolForward(imageShape(operands.x), { ...operands, ...out }, label),
  globalAveragePoolBackward: (_, { label, in: operands, out }) =>
    globalAveragePoolBackward(imageShape(out.dx), { ...operands, ...out }, label),
  upsample: ({ views }, { label, in: operands, out }) =>
    views.upsampled.has(out.y) ? [] : upsampleForward(planeShape(operands.x), { ...operands, ...out }, label),
  upsampleBackward: ({ views }, { label, in: operands, out }) =>
    views.pooled.has(operands.dy) ? [] : upsampleBackward(planeShape(out.dx), { ...operands, ...out }, label),
  resizeImages(_, { label, attributes, in: { images }, out: { y } }) {
    const [batch, inHeight, inWidth] = images.shape;
    const [, outHeight, outWidth] = y.shape;
    const shape = { batch, inHeight, inWidth, outHeight, outWidth, ...attributes };
    return resizeImagesForward(shape, { images, y }, label);
  },
};

function poolShape(x: Tensor, y: Tensor, { window, stride, padding }: PoolAttributes): PoolShape {
  const [batch, inHeight, inWidth, channels] = x.shape;
  const [, outHeight, outWidth] = y.shape;
  const [windowHeight, windowWidth] = bothAxes(window);
  const [padTop, padLeft] = bothAxes(padding);
  return {
    ...{ batch, inHeight, inWidth, outHeight, outWidth, channels },
    ...{ windowHeight, windowWidth, stride, padTop, padLeft },
  };
}
