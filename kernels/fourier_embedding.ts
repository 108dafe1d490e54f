/**
 * Launcher of `fourier_embedding.wgsl`: embedding of timesteps by fixed random frequencies.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { fourierEmbeddingKernel } from "./sources.ts";

/** Sizes of a Fourier embedding. */
export interface FourierEmbeddingShape {
  readonly batch: number;
  /** Number of frequencies `K`. */
  readonly frequencies: number;
}

const WORKGROUP = 64;

/**
 * `y[n] = [sin(2 pi f_0 ln t_n) …, cos(2 pi f_0 ln t_n) …]`.
 *
 * @param buffers `timesteps` [N] float32, above 0; `frequencies` [Kp] float32; `y` [N, 1, 1, Dp], D = 2 K
 */
export function fourierEmbeddingForward<B>(
  { batch, frequencies: count }: FourierEmbeddingShape,
  { timesteps, frequencies, y }: { timesteps: B; frequencies: B; y: B },
  label = "fourier_embedding",
): Launch<B>[] {
  const columns = Math.ceil(2 * count / 4);
  const params = { batch, frequencies: count, columns };
  const workgroups = grid1d(batch * columns, WORKGROUP);
  return [
    launch(fourierEmbeddingKernel, "forward", params, { timesteps, frequencies, y }, workgroups, { label }),
  ];
}
