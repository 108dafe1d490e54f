/**
 * Launcher of `average_pool_gradient.wgsl`: gradient of average pooling over squares of 2 x 2 pixels.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { averagePoolGradientKernel } from "./sources.ts";

/** Shape of the small tensor. */
export interface SquarePoolShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  /** Channels without padding. */
  readonly channels: number;
}

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/**
 * Gradient of the mean of each 2 x 2 square: `dx = addend +` a quarter of `dy` in each pixel of a square.
 *
 * @param shape shape of `dy`
 * @param buffers `dy` [N, H, W, Cp]; `addend`, `dx` [N, 2H, 2W, Cp]
 */
export function averagePoolBackward<B>(
  shape: SquarePoolShape,
  { dy, addend, dx }: { dy: B; addend?: B; dx: B },
  label = "average pool gradient",
): Launch<B>[] {
  const params = paramsOf(shape);
  const constants = { has_addend: Number(addend !== undefined) };
  // All declared buffers must be bound; dy stands in for an absent addend, which is not read.
  const buffers = { dy, addend: addend ?? dy, dx };
  return [
    launch(averagePoolGradientKernel, "backward", params, buffers, grid1d(params.count, PER_WORKGROUP), {
      constants,
      label,
    }),
  ];
}

function paramsOf({ batch, height, width, channels }: SquarePoolShape) {
  const columns = Math.ceil(channels / 4);
  return { count: batch * height * width * columns, width, columns };
}
