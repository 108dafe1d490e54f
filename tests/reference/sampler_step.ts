/** Initial noise, guidance and one sampler step of one image in float64; plain [H * W, C] without padding. */
import { normals } from "./threefry.ts";

/** Standard normal [pixels, channels] of an image; `step` 2^32 - 1 is what its trajectory starts from, `use` 1 the noise of a known image. */
export function samplingNoise(
  pixels: number,
  channels: number,
  step: number,
  key: [number, number],
  use = 0,
): number[] {
  const blocks = Math.ceil(channels / 4);
  return Array.from({ length: pixels * channels }, (_, i) => {
    const c = i % channels;
    const block = Math.floor(i / channels) * blocks + Math.floor(c / 4);
    return normals([block, step, use, 2], key)[c % 4];
  });
}

export interface StepReference {
  x0FromX: number;
  x0FromOut: number;
  clip: number;
  nextFromX0: number;
  nextFromX: number;
  nextFromOut: number;
  nextFromH1: number;
  nextFromH2: number;
  sigma: number;
  logSigmaRange: number;
}

export function weightedSum(terms: { weight: number; output: ArrayLike<number> }[]): number[] {
  return Array.from(
    terms[0].output,
    (_, i) => terms.reduce((sum, { weight, output }) => sum + weight * output[i], 0),
  );
}

/** Equations 15 and 16 of Lin et al. 2024; an output of equal numbers is kept. */
export function rescaledGuidance(guided: number[], conditional: number[], rescale: number): number[] {
  const deviation = (values: number[]) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  };
  if (deviation(guided) === 0) return guided;
  const ratio = deviation(conditional) / deviation(guided);
  return guided.map((value) => rescale * value * ratio + (1 - rescale) * value);
}

/** `variance` is the second half of the output's channels; read for a learned variance only. */
export function samplerStepReference(
  step: StepReference,
  { x, h1, h2 }: { x: ArrayLike<number>; h1: ArrayLike<number>; h2: ArrayLike<number> },
  out: ArrayLike<number>,
  noise: ArrayLike<number>,
  variance: ArrayLike<number>,
): { next: number[]; x0: number[] } {
  const x0 = Array.from(
    x,
    (value, i) => Math.max(-step.clip, Math.min(step.clip, step.x0FromX * value + step.x0FromOut * out[i])),
  );
  const next = x0.map((value, i) => {
    const range = step.logSigmaRange === 0 ? 0 : step.logSigmaRange * (variance[i] + 1) / 2;
    return step.nextFromX0 * value + step.nextFromX * x[i] + step.nextFromOut * out[i] +
      step.nextFromH1 * h1[i] + step.nextFromH2 * h2[i] + step.sigma * Math.exp(range) * noise[i];
  });
  return { next, x0 };
}
