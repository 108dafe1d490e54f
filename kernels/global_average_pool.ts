/**
 * Launchers of `global_average_pool.wgsl`: mean over the positions of an image, and its gradient.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { globalAveragePoolKernel } from "./sources.ts";

/** Shape of the pooled images. */
export interface GlobalPoolShape {
  readonly batch: number;
  /** Positions of an image, `H * W`. */
  readonly spatial: number;
  /** Channels without padding. */
  readonly channels: number;
}

/**
 * `y[n,c] = mean over positions of x[n,p,c]`.
 *
 * @param buffers `x` [N, P, Cp]; out: `y` [N, 1, 1, Cp]
 */
export function globalAveragePoolForward<B>(
  shape: GlobalPoolShape,
  { x, y }: { x: B; y: B },
  label = "global average pool",
): Launch<B>[] {
  const params = paramsOf(shape);
  const workgroups = grid1d(params.batch * params.quads, 64);
  return [launch(globalAveragePoolKernel, "forward", params, { x, y }, workgroups, { label })];
}

/**
 * Gradient of {@linkcode globalAveragePoolForward}: `dx[n,p,c] = addend[n,p,c] + dy[n,c] / P`.
 *
 * @param buffers `dy` [N, 1, 1, Cp], `addend` [N, P, Cp]; out: `dx` [N, P, Cp]
 */
export function globalAveragePoolBackward<B>(
  shape: GlobalPoolShape,
  { dy, addend, dx }: { dy: B; addend?: B; dx: B },
  label = "global average pool gradient",
): Launch<B>[] {
  const params = paramsOf(shape);
  const constants = { has_addend: Number(addend !== undefined) };
  // All declared buffers must be bound; dy stands in for an absent addend, which is not read.
  const buffers = { dy, addend: addend ?? dy, dx };
  const workgroups = grid1d(params.batch * params.positions * params.quads, 64);
  return [launch(globalAveragePoolKernel, "backward", params, buffers, workgroups, { constants, label })];
}

function paramsOf({ batch, spatial, channels }: GlobalPoolShape) {
  return { batch, positions: spatial, quads: Math.ceil(channels / 4) };
}
