/**
 * Launchers of `dropout.wgsl`: dropout with regenerated masks.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { dropoutKernel } from "./sources.ts";

/** Size and parameters of a dropout layer. */
export interface DropoutShape {
  /** Number of floats, padding included; a multiple of 4. */
  readonly elements: number;
  /** Probability of a zero, in [0, 1); rounded to the nearest multiple of 2^-16 below 1. */
  readonly rate: number;
  /** Index of the dropout layer in the network, from 0. */
  readonly layer: number;
}

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/** Number of values of an element's 16 random bits. */
const LEVELS = 2 ** 16;

/**
 * Sets each value to zero with probability p and divides the others by 1 - p (Srivastava et al. 2014), where p is `rate`
 * rounded to a multiple of 2^-16. Value `j` of vec4 `1024 b + 512 h + c`, `h` being 0 or 1 and `c < 512`, is kept if half `h` of
 * word `j` (0 the lower 16 bits) of Threefry4x32 at counter `(512 b + c, 16 + layer, step, stream)` is at least `2^16 p`.
 *
 * @param buffers `x`, `y` of `elements` floats; `step_state` as in `step_state.wgsl`
 * @throws {RangeError} if `rate` is not in [0, 1)
 */
export function dropoutForward<B>(
  shape: DropoutShape,
  { x, step_state, y }: { x: B; step_state: B; y: B },
  label = "dropout",
): Launch<B>[] {
  const params = paramsOf(shape);
  const workgroups = grid1d(params.count, PER_WORKGROUP);
  return [launch(dropoutKernel, "forward", params, { x, step_state, y }, workgroups, { label })];
}

/**
 * Gradient of {@linkcode dropoutForward} with the same mask: `dx = addend + mask * dy / (1 - p)`.
 *
 * @param shape as in the forward pass
 * @param buffers `dy`, `addend`, `dx` of `elements` floats; `step_state` as in the forward pass
 * @throws {RangeError} if `rate` is not in [0, 1)
 */
export function dropoutBackward<B>(
  shape: DropoutShape,
  { dy, step_state, addend, dx }: { dy: B; step_state: B; addend?: B; dx: B },
  label = "dropout gradient",
): Launch<B>[] {
  const params = paramsOf(shape);
  const constants = { has_addend: Number(addend !== undefined) };
  // All declared buffers must be bound; dy stands in for an absent addend, which is not read.
  const buffers = { dy, step_state, addend: addend ?? dy, dx };
  return [
    launch(dropoutKernel, "backward", params, buffers, grid1d(params.count, PER_WORKGROUP), {
      constants,
      label,
    }),
  ];
}

function paramsOf({ elements, rate, layer }: DropoutShape) {
  if (!(rate >= 0 && rate < 1)) throw new RangeError(`dropout: rate ${rate} is not in [0, 1)`);
  const threshold = Math.min(Math.round(LEVELS * rate), LEVELS - 1);
  return { count: elements / 4, layer, threshold, scale: LEVELS / (LEVELS - threshold) };
}
