/** The forward process and the training target in float64, one pixel at a time; plain [N, H, W, C] without padding. */
import { normals } from "./threefry.ts";

export interface QSampleReferenceInput {
  height: number;
  width: number;
  channels: number;
  step: number;
  stream: number;
  key: [number, number];
  /** Bytes [images, H, W, C]. */
  images: Uint8Array;
  draws: { image: number; timestep: number; flip: number }[];
  /** Rows of signal, noise, targetFromX0, targetFromNoise. */
  schedule: number[][];
}

export function qSampleReference(input: QSampleReferenceInput): { xT: number[]; targets: number[] } {
  const { height, width, channels, step, stream, key, images, draws, schedule } = input;
  const blocks = Math.ceil(channels / 4);
  const xT: number[] = [];
  const targets: number[] = [];
  draws.forEach(({ image, timestep, flip }, n) => {
    const [signal, noise, targetFromX0, targetFromNoise] = schedule[timestep];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const from = ((image * height + y) * width + (flip ? width - 1 - x : x)) * channels;
        for (let c = 0; c < channels; c++) {
          const x0 = images[from + c] / 127.5 - 1;
          const block = (y * width + x) * blocks + Math.floor(c / 4);
          const e = normals([block, 1, step, stream + 256 * n], key)[c % 4];
          xT.push(signal * x0 + noise * e);
          targets.push(targetFromX0 * x0 + targetFromNoise * e);
        }
      }
    }
  });
  return { xT, targets };
}
