/**
 * Launcher of `average_pool_gradient.wgsl`: gradient of average pooling over squares of 2 x 2 pixels.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { averagePoolGradientKernel } from "./sources.ts";
import { squaresGradient, squaresLaunch, type SquaresShape } from "./squares.ts";

/**
 * Gradient of the mean of each 2 x 2 square: `dx = addend +` a quarter of `dy` in each pixel of a square.
 *
 * @param shape shape of `dy`
 * @param tensors `dy` [N, H, W, Cp]; `addend`, `dx` [N, 2H, 2W, Cp]
 */
export function averagePoolBackward<B>(
  shape: SquaresShape,
  tensors: { dy: B; addend?: B; dx: B },
  label = "average pool gradient",
): Launch<B>[] {
  const { params, workgroups } = squaresLaunch(shape);
  const { buffers, constants } = squaresGradient(tensors);
  return [launch(averagePoolGradientKernel, "backward", params, buffers, workgroups, { constants, label })];
}
