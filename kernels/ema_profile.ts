/**
 * Launcher of `ema_profile.wgsl`: averages of the weights with power-function profiles.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { emaProfileKernel } from "./sources.ts";

/** Size of {@linkcode emaProfile}. */
export interface EmaProfileOptions {
  /** Floats in each flat buffer, a multiple of 4. */
  readonly elements: number;
  /** Index of the profile, from 0. */
  readonly profile: number;
}

/** Buffers of {@linkcode emaProfile}; parameters and average are flat float32 buffers of the same length. */
export interface EmaProfileBuffers<B> {
  /** `Health` record of `gradNormFinish`. */
  readonly health: B;
  /** Share of the weights in the next average, one float32 per profile. */
  readonly rates: B;
  readonly parameters: B;
  /** In and out; a copy of the parameters before the first step. */
  readonly average: B;
}

/** Updates one average; does nothing if `health` marks the step as non-finite. */
export function emaProfile<B>(
  { elements, profile }: EmaProfileOptions,
  buffers: EmaProfileBuffers<B>,
): Launch<B>[] {
  const blocks = elements / 4;
  const params = { blocks, profile };
  return [launch(emaProfileKernel, "ema_profile", params, { ...buffers }, grid1d(blocks, 64))];
}
