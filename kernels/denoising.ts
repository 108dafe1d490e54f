/**
 * Launchers of an evaluation: images at chosen noise levels (`noise_rows.wgsl`), and errors of the network on them
 * (`denoising_errors.wgsl`).
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { denoisingErrorsKernel, noiseRowsKernel } from "./sources.ts";

/** Shape of the network's batch. */
export interface NoisedShape {
  /** Rows `N` of the batch. */
  readonly rows: number;
  readonly height: number;
  readonly width: number;
  /** Channels of an image, 3 for RGB. */
  readonly channels: number;
}

/** Buffers of {@linkcode noiseRows}. */
export interface NoiseRowsBuffers<B> {
  /** From `encodeNoisedRows`. */
  readonly rows: B;
  /** `[N, H, W, Cp]` float32. */
  readonly x_0: B;
  /** Out: `[N, H, W, Cp]`, the network's input. */
  readonly x: B;
  /** Out: `[N, H, W, Cp]` float32, the target of its output. */
  readonly targets: B;
}

/** Noises the image of each row at the row's level. */
export function noiseRows<B>(shape: NoisedShape, buffers: NoiseRowsBuffers<B>): Launch<B>[] {
  const { rows, channels } = shape;
  const params = { rows, per_row: perRow(shape), channels };
  return [launch(noiseRowsKernel, "noise_rows", params, { ...buffers }, grid1d(rows * perRow(shape), 64))];
}

/** Buffers of {@linkcode denoisingErrors}. */
export interface DenoisingErrorsBuffers<B> {
  /** From `encodeNoisedRows`. */
  readonly rows: B;
  /** `[N, H, W, C]` padded, the network's output, or `[N, H, W, 2 C]` padded with a learned variance. */
  readonly prediction: B;
  /** From {@linkcode noiseRows}. */
  readonly targets: B;
  /** `[N, H, W, Cp]` float32. */
  readonly x_0: B;
  /** Out: `[N, H, W, Cp]` float32, the clipped estimates of `x_0`. */
  readonly estimates: B;
  /** Out: `[N, H, W, Cp]` float32, logarithms of the variance over the posterior's; 0 where it is not learned. */
  readonly log_ratios: B;
  /** Out: a `DenoisingError` record for each used row, at the index that the row has for it. */
  readonly errors: B;
}

/**
 * Computes the errors of each row.
 *
 * @param learned the network predicts a variance, too
 */
export function denoisingErrors<B>(
  { rows, height, width, channels }: NoisedShape,
  buffers: DenoisingErrorsBuffers<B>,
  learned: boolean = false,
): Launch<B>[] {
  const params = { pixels: height * width, channels };
  const constants = { learned: Number(learned) };
  return [
    launch(denoisingErrorsKernel, "denoising_errors", params, { ...buffers }, [rows, 1, 1], { constants }),
  ];
}

/** Vec4s per image. */
function perRow({ height, width, channels }: NoisedShape): number {
  return height * width * Math.ceil(channels / 4);
}
