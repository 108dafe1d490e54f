/**
 * Launchers of `upsample.wgsl`: nearest-neighbour upsampling by two, and its gradient.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { upsampleKernel } from "./sources.ts";
import { squaresGradient, squaresLaunch, type SquaresShape } from "./squares.ts";

/**
 * Repeats each pixel in a 2 x 2 square.
 *
 * @param shape shape of `x`
 * @param buffers `x` [N, H, W, Cp], `y` [N, 2H, 2W, Cp]
 */
export function upsampleForward<B>(
  shape: SquaresShape,
  { x, y }: { x: B; y: B },
  label = "upsample",
): Launch<B>[] {
  const { params, workgroups } = squaresLaunch(shape);
  return [launch(upsampleKernel, "forward", params, { x, y }, workgroups, { label })];
}

/**
 * Gradient of {@linkcode upsampleForward}: `dx = addend +` the sum over each 2 x 2 square of `dy`.
 *
 * @param shape shape of `dx`
 * @param tensors `dy` [N, 2H, 2W, Cp]; `addend`, `dx` [N, H, W, Cp]
 */
export function upsampleBackward<B>(
  shape: SquaresShape,
  tensors: { dy: B; addend?: B; dx: B },
  label = "upsample gradient",
): Launch<B>[] {
  const { params, workgroups } = squaresLaunch(shape);
  const { buffers, constants } = squaresGradient(tensors);
  return [launch(upsampleKernel, "backward", params, buffers, workgroups, { constants, label })];
}
