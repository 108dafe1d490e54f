/** Average pooling over squares of 2 x 2 pixels, by definition: x [N, 2H, 2W, C], y [N, H, W, C]. */
import { type Shape4, upsampleGradientReference, upsampleReference } from "./upsample.ts";

/** y of that shape. */
export function averagePoolReference(shape: Shape4, x: ArrayLike<number>): Float64Array {
  return upsampleGradientReference(shape, x).map((sum) => sum / 4);
}

/** Gradient of sum(y * dy) with respect to x; dy has that shape. */
export function averagePoolGradientReference(shape: Shape4, dy: ArrayLike<number>): Float64Array {
  return upsampleReference(shape, dy).map((slope) => slope / 4);
}
