/**
 * Launchers of `upsample.wgsl`: nearest-neighbour upsampling by two, and its gradient.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { upsampleKernel } from "./sources.ts";

/** Shape of the small tensor. */
export interface UpsampleShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  /** Channels without padding. */
  readonly channels: number;
}

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/**
 * Repeats each pixel in a 2 x 2 square.
 *
 * @param shape shape of `x`
 * @param buffers `x` [N, H, W, Cp], `y` [N, 2H, 2W, Cp]
 */
export function upsampleForward<B>(
  shape: UpsampleShape,
  { x, y }: { x: B; y: B },
  label = "upsample",
): Launch<B>[] {
  const params = paramsOf(shape);
  return [
    launch(upsampleKernel, "forward", params, { x, y }, grid1d(params.count, PER_WORKGROUP), { label }),
  ];
}

/**
 * Gradient of {@linkcode upsampleForward}: `dx = addend +` the sum over each 2 x 2 square of `dy`.
 *
 * @param shape shape of `dx`
 * @param buffers `dy` [N, 2H, 2W, Cp]; `addend`, `dx` [N, H, W, Cp]
 */
export function upsampleBackward<B>(
  shape: UpsampleShape,
  { dy, addend, dx }: { dy: B; addend?: B; dx: B },
  label = "upsample gradient",
): Launch<B>[] {
  const params = paramsOf(shape);
  const constants = { has_addend: Number(addend !== undefined) };
  // All declared buffers must be bound; dy stands in for an absent addend, which is not read.
  const buffers = { dy, addend: addend ?? dy, dx };
  return [
    launch(upsampleKernel, "backward", params, buffers, grid1d(params.count, PER_WORKGROUP), {
      constants,
      label,
    }),
  ];
}

function paramsOf({ batch, height, width, channels }: UpsampleShape) {
  const columns = Math.ceil(channels / 4);
  return { count: batch * height * width * columns, width, columns };
}
