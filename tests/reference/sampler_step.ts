/** Initial noise, guidance and one sampler step of one image in float64; plain [H * W, C] without padding. */
import { normals } from "./threefry.ts";

/** Standard normal [pixels, channels] of an image; `step` 2^32 - 1 is what its trajectory starts from. */
export function samplingNoise(
  pixels: number,
  channels: number,
  step: number,
  key: [number, number],
): number[] {
  const blocks = Math.ceil(channels / 4);
  return Array.from({ length: pixels * channels }, (_, i) => {
    const c = i % channels;
    const block = Math.floor(i / channels) * blocks + Math.floor(c / 4);
    return normals([block, step, 0, 2], key)[c % 4];
  });
}

export interface StepReference {
  x0FromX: number;
  x0FromOut: number;
  clip: number;
  nextFromX0: number;
  nextFromX: number;
  nextFromOut: number;
  sigma: number;
}

export function weightedSum(terms: { weight: number; output: ArrayLike<number> }[]): number[] {
  return Array.from(
    terms[0].output,
    (_, i) => terms.reduce((sum, { weight, output }) => sum + weight * output[i], 0),
  );
}

export function samplerStepReference(
  step: StepReference,
  x: ArrayLike<number>,
  out: ArrayLike<number>,
  noise: ArrayLike<number>,
): { next: number[]; x0: number[] } {
  const x0 = Array.from(
    x,
    (value, i) => Math.max(-step.clip, Math.min(step.clip, step.x0FromX * value + step.x0FromOut * out[i])),
  );
  const next = x0.map((value, i) =>
    step.nextFromX0 * value + step.nextFromX * x[i] + step.nextFromOut * out[i] + step.sigma * noise[i]
  );
  return { next, x0 };
}
