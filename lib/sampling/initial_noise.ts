/**
 * Initial noise of an image on the CPU, where something else is to be made of it than `kernels/slot_noise.wgsl` does.
 *
 * @module
 */
import { normal2, splitSeed, threefry4x32 } from "../random.ts";

/** Step word of the initial noise in the counter, as in `kernels/records/sampling.wgsl`. */
const INITIAL_NOISE = 0xffffffff;
/** Last word of the counter: sampling. */
const SAMPLING_STREAM = 2;

/**
 * The standard normal noise that the image of a seed starts from (Ho et al. 2020, Algorithm 2, line 1). Equal to the device's up to
 * rounding.
 *
 * @param seed integer from 0 to 2^53 - 1
 * @param pixels height times width
 * @param channels channels of the image
 * @returns shape [H, W, C]
 */
export function initialNoise(seed: number, pixels: number, channels: number): Float32Array<ArrayBuffer> {
  const key = splitSeed(seed);
  const blocks = Math.ceil(channels / 4);
  const noise = new Float32Array(pixels * channels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let block = 0; block < blocks; block++) {
      const [a, b, c, d] = threefry4x32([pixel * blocks + block, INITIAL_NOISE, 0, SAMPLING_STREAM], key);
      const four = [...normal2(a, b), ...normal2(c, d)];
      noise.set(four.slice(0, channels - 4 * block), pixel * channels + 4 * block);
    }
  }
  return noise;
}
