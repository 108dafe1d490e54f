/**
 * Launchers of `dropout.wgsl`: dropout whose mask is drawn anew wherever it is needed.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { dropout } from "./sources.ts";

/** Size and parameters of one dropout. */
export interface DropoutShape {
  /** Floats with padding, a multiple of 4. */
  readonly elements: number;
  /** Share of values set to zero, in [0, 1). */
  readonly rate: number;
  /** Tells the dropouts of a network apart, from 0. */
  readonly layer: number;
}

/** Vec4s of one workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/**
 * Sets each value to zero with probability `rate` and divides the others by `1 - rate` (Srivastava et al. 2014). Value
 * `4i + j` is kept where word `j` of Philox4x32-10 at counter `(i, 16 + layer, step, stream)`, as a number in [0, 1), is
 * at least `rate` in float32.
 *
 * @param buffers `x`, `y` of `elements` floats; `step_state` as in `step_state.wgsl`
 * @throws {RangeError} when `rate` is not in [0, 1)
 */
export function dropoutForward<B>(
  shape: DropoutShape,
  { x, step_state, y }: { x: B; step_state: B; y: B },
  label = "dropout",
): Launch<B>[] {
  const params = paramsOf(shape);
  const workgroups = grid1d(params.count, PER_WORKGROUP);
  return [launch(dropout, "forward", params, { x, step_state, y }, workgroups, { label })];
}

/**
 * Gradient of {@linkcode dropoutForward} with the same mask: `dx = addend + mask * dy / (1 - rate)`.
 *
 * @param shape as in the forward pass
 * @param buffers `dy`, `addend`, `dx` of `elements` floats; `step_state` as in the forward pass
 * @throws {RangeError} when `rate` is not in [0, 1)
 */
export function dropoutBackward<B>(
  shape: DropoutShape,
  { dy, step_state, addend, dx }: { dy: B; step_state: B; addend?: B; dx: B },
  label = "dropout gradient",
): Launch<B>[] {
  const params = paramsOf(shape);
  const constants = { has_addend: Number(addend !== undefined) };
  // A pipeline needs every buffer its text names, so dy stands in for an addend that is not read.
  const buffers = { dy, step_state, addend: addend ?? dy, dx };
  return [
    launch(dropout, "backward", params, buffers, grid1d(params.count, PER_WORKGROUP), { constants, label }),
  ];
}

function paramsOf({ elements, rate, layer }: DropoutShape) {
  if (!(rate >= 0 && rate < 1)) throw new RangeError(`dropout: rate ${rate} is not in [0, 1)`);
  return { count: elements / 4, layer, rate, scale: 1 / (1 - rate) };
}
