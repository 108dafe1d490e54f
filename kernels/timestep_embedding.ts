/**
 * Launcher of `timestep_embedding.wgsl`: sines and cosines of timesteps.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { timestepEmbeddingKernel } from "./sources.ts";

/** Sizes and options of a timestep embedding, as in diffusers' `get_timestep_embedding`. */
export interface TimestepEmbeddingShape {
  readonly batch: number;
  /** Values per timestep, 1 to 2048; an odd one ends in a zero. */
  readonly dim: number;
  /** Whether the cosines come first. The reference model has the sines first. */
  readonly flipSinToCos: boolean;
  /** Subtracted from `floor(dim / 2)` in the exponent's denominator; must stay below it. The reference model has 1. */
  readonly downscaleFreqShift: number;
  /** Ratio of the frequencies at the two ends, more than 1. Default 10000. */
  readonly maxPeriod?: number;
}

const WORKGROUP = 64;

/** `dim / 2` has at most this many bits, one power of the ratio for each. */
const BITS = 10;

/**
 * `y[n] = [sin(t f_0) …, cos(t f_0) …]` with `f_k = maxPeriod^(-k / (floor(dim / 2) - downscaleFreqShift))`, right to
 * 1e-5 for timesteps up to 1000.
 *
 * @param buffers `timesteps` [N] float32, at least 0; `y` [N, 1, 1, Dp]
 * @throws {RangeError} when an option is outside its range
 */
export function timestepEmbeddingForward<B>(
  { batch, dim, flipSinToCos, downscaleFreqShift, maxPeriod = 10000 }: TimestepEmbeddingShape,
  { timesteps, y }: { timesteps: B; y: B },
  label = "timestep_embedding",
): Launch<B>[] {
  const half = Math.floor(dim / 2);
  if (half > 2 ** BITS) throw new RangeError(`timestep_embedding: dim ${dim} is above ${2 ** (BITS + 1)}`);
  if (half > 0 && !(downscaleFreqShift < half)) {
    throw new RangeError(
      `timestep_embedding: downscaleFreqShift ${downscaleFreqShift} is not below ${half}, half of dim`,
    );
  }
  if (!(maxPeriod > 1)) throw new RangeError(`timestep_embedding: maxPeriod ${maxPeriod} is not above 1`);
  const power = (bit: number) =>
    Math.min(2 ** 32 - 1, Math.round(2 ** 32 * maxPeriod ** (-(2 ** bit) / (half - downscaleFreqShift))));
  const columns = Math.ceil(dim / 4);
  const params = {
    ...{ batch, dim, columns, cosine_first: flipSinToCos ? 1 : 0 },
    ...{ power0: power(0), power1: power(1), power2: power(2), power3: power(3), power4: power(4) },
    ...{ power5: power(5), power6: power(6), power7: power(7), power8: power(8), power9: power(9) },
  };
  const workgroups = grid1d(batch * columns, WORKGROUP);
  return [launch(timestepEmbeddingKernel, "forward", params, { timesteps, y }, workgroups, { label })];
}
