/**
 * Launchers of `scale_shift.wgsl`: scale and shift of adaptive group normalisation, and its gradients.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { scaleShiftKernel } from "./sources.ts";

/** Sizes of a modulation. */
export interface ScaleShiftShape {
  readonly batch: number;
  /** C, without padding. */
  readonly channels: number;
  /** First column of the scale in a row; the shift follows it. A multiple of 4. */
  readonly first: number;
  /** Columns of a row, a multiple of 4. */
  readonly width: number;
}

const WORKGROUP = 64;

/**
 * Affine parameters for each sample.
 *
 * @param buffers `gamma`, `beta` [Cp]; `rows` [N, width]; `affine` [N, 2, Cp]: beta, then gamma. All float32
 */
export function scaleShiftForward<B>(
  shape: ScaleShiftShape,
  { gamma, beta, rows, affine }: { gamma: B; beta: B; rows: B; affine: B },
  label = "scale shift",
): Launch<B>[] {
  const { params, workgroups } = planOf(shape);
  return [launch(scaleShiftKernel, "forward", params, { gamma, beta, rows, affine }, workgroups, { label })];
}

/** Buffers of {@linkcode scaleShiftBackward}, all float32. */
export interface ScaleShiftBackwardBuffers<B> {
  /** [Cp]. */
  readonly gamma: B;
  /** [Cp]. */
  readonly beta: B;
  /** [N, width]. */
  readonly rows: B;
  /** [N, 2, Cp]: gradients of beta and gamma of each sample. */
  readonly daffine: B;
  /** [Cp]. */
  readonly dgamma: B;
  /** [Cp]. */
  readonly dbeta: B;
  /** [N, width], of which the columns of scale and shift are written, and those that pad them to a multiple of 4. */
  readonly drows: B;
}

/** Gradients of {@linkcode scaleShiftForward}. */
export function scaleShiftBackward<B>(
  shape: ScaleShiftShape,
  { gamma, beta, rows, daffine, dgamma, dbeta, drows }: ScaleShiftBackwardBuffers<B>,
  label = "scale shift gradient",
): Launch<B>[] {
  const { params, workgroups } = planOf(shape);
  const buffers = { gamma, beta, rows, daffine, dgamma, dbeta, drows };
  return [launch(scaleShiftKernel, "backward", params, buffers, workgroups, { label })];
}

function planOf({ batch, channels, first, width }: ScaleShiftShape) {
  const padded = 4 * Math.ceil(channels / 4);
  const params = { batch, channels, padded, first, width };
  return { params, workgroups: [Math.ceil(padded / WORKGROUP), 1, 1] as const };
}
