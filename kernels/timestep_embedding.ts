/**
 * Launcher of `timestep_embedding.wgsl`: sinusoidal timestep embedding.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { timestepEmbeddingKernel } from "./sources.ts";

/** Sizes and options of a timestep embedding, as in diffusers' `get_timestep_embedding`. */
export interface TimestepEmbeddingShape {
  readonly batch: number;
  /** Embedding dimension, 1 to 2048; an odd one ends in a zero. */
  readonly dim: number;
  /** Put cosines first; the reference model has sines first. */
  readonly flipSinToCos: boolean;
  /** Subtracted from `floor(dim / 2)` in the exponent's denominator; must be less than that; 1 in the reference model. */
  readonly downscaleFreqShift: number;
  /** Timesteps are u32, as labels are. Default false. */
  readonly wholeNumbers?: boolean;
  /** Ratio of the highest and lowest frequency, above 1. Default 10000. */
  readonly maxPeriod?: number;
}

const WORKGROUP = 64;

/** Bits of a frequency index below `dim / 2`; the kernel has one power of the ratio for each. */
const BITS = 10;

/**
 * `y[n] = [sin(t f_0) …, cos(t f_0) …]` with `f_k = maxPeriod^(-k / (floor(dim / 2) - downscaleFreqShift))`, accurate
 * to 1e-5 for timesteps from -1000 to 1000.
 *
 * @param buffers `timesteps` [N] float32 or u32, of magnitude below 2^24; `y` [N, 1, 1, Dp]
 * @throws {RangeError} if an option is out of range
 */
export function timestepEmbeddingForward<B>(
  { batch, dim, flipSinToCos, downscaleFreqShift, maxPeriod = 10000, wholeNumbers = false }:
    TimestepEmbeddingShape,
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
  const constants = { whole_numbers: Number(wholeNumbers) };
  return [
    launch(timestepEmbeddingKernel, "forward", params, { timesteps, y }, workgroups, { constants, label }),
  ];
}
