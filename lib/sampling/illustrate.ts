/**
 * Illustrations of data sets and of the forward process.
 *
 * @module
 */
import type { ImageDataset } from "../data/dataset.ts";
import { CLEAN, type NoiseLevel } from "../diffusion/forward_process.ts";
import type { NoiseSchedule } from "../diffusion/schedule.ts";
import { ConfigError } from "../errors.ts";
import { Images } from "../image/images.ts";
import { normal2, splitSeed, threefry4x32 } from "../random.ts";

/** Last counter word of this noise; no other use of a seed has it. */
const COUNTER = 0x70696374;

/**
 * Timesteps for pictures of the process, quadratically denser towards 0, where images change visibly; all but the last
 * are round numbers.
 *
 * @param count maximum number, 2 or more
 * @param last the last timestep
 * @returns descending, from `last` to 0
 */
export function shownTimesteps(count: number, last: number): number[] {
  const round = (t: number) => {
    const unit = last < 500 ? 1 : t < 100 ? 10 : 50;
    return Math.round(t / unit) * unit;
  };
  const between = Array.from({ length: count }, (_, i) => round(last * (i / (count - 1)) ** 2));
  return [...new Set([...between.slice(0, -1).filter((t) => t < last), last])].reverse();
}

/**
 * Images of a data set as pictures, with their classes as metadata; grey ones as RGB of equal channels.
 *
 * @param data the data set
 * @param indices images to take, each from 0 to `data.count - 1`, in order; at least one
 * @returns the images, in new memory
 * @throws {ConfigError} if there are no indices
 * @throws {ShapeError} for an index out of range
 * @throws {DataError} naming file and image, if it cannot be read
 */
export function datasetImages(data: ImageDataset, indices: ArrayLike<number>): Images {
  const { images, labels, classes, height, width, channels } = data;
  const bytes = images.read(indices);
  const pixels = channels === 3
    ? bytes
    : Uint8Array.from({ length: 3 * bytes.length }, (_, i) => bytes[Math.floor(i / 3)]!);
  const metadata = Array.from(indices, (index) => {
    const name = classes[labels[index]!];
    return { image: index, ...(name === undefined ? {} : { class: name }) };
  });
  return new Images(pixels, indices.length, height, width, metadata);
}

/** At most `most` of `count` numbers from 0, evenly spread. */
export function evenly(count: number, most: number): number[] {
  const taken = Math.min(count, most);
  return Array.from({ length: taken }, (_, i) => Math.floor(i * count / taken));
}

/**
 * Adds noise to an image at several timesteps, `x_t = sqrt(acp_t) x_0 + sqrt(1 - acp_t) eps` (Ho et al. 2020, equation
 * 4), with the same noise `eps` for all, so that the frames show one trajectory.
 *
 * @param image RGB values 0 to 255, shape [height, width, 3], or grey ones, shape [height, width, 1]
 * @param height height of the image in pixels
 * @param width width of the image in pixels
 * @param schedule the noise schedule
 * @param timesteps each 0 to T - 1, or -1 for the image itself
 * @param seed seed of the noise, an integer from 0 to 2^53 - 1
 * @returns one frame per timestep, clipped to [-1, 1]
 * @throws {ConfigError} for a timestep or seed out of range, or an image of another size
 */
export function forwardProcess(
  image: Uint8Array,
  height: number,
  width: number,
  schedule: NoiseSchedule,
  timesteps: readonly number[],
  seed = 0,
): Images[] {
  const last = schedule.config.numTrainTimesteps - 1;
  const levels = timesteps.map((t) => {
    if (!Number.isInteger(t) || t < -1 || t > last) {
      throw new ConfigError("timesteps", t, `whole numbers from -1 to ${last}`);
    }
    return t < 0 ? CLEAN : schedule.level(t);
  });
  return noisedImages(image, height, width, levels, seed);
}

/**
 * Adds noise to an image at several levels of any process, `x = signal x_0 + noise eps`, with the same noise for all.
 *
 * @param image RGB values 0 to 255, shape [height, width, 3], or grey ones, shape [height, width, 1]
 * @param seed seed of the noise, an integer from 0 to 2^53 - 1
 * @returns one frame per level, clipped to [-1, 1]
 * @throws {ConfigError} for a seed out of range, or an image of another size
 */
export function noisedImages(
  image: Uint8Array,
  height: number,
  width: number,
  levels: readonly Pick<NoiseLevel, "signal" | "noise">[],
  seed = 0,
): Images[] {
  const pixels = height * width;
  if (image.length !== 3 * pixels && image.length !== pixels) {
    const allowed = `${height} x ${width} x 3 = ${3 * pixels} bytes, or ${pixels} of a grey image`;
    throw new ConfigError("image", image.length, allowed);
  }
  const key = splitSeed(seed);
  const noise = new Float32Array(image.length);
  for (let i = 0; i < noise.length; i += 2) {
    const [a, b] = threefry4x32([i / 2, 0, 0, COUNTER], key);
    noise.set(normal2(a, b).slice(0, noise.length - i), i);
  }
  return levels.map(({ signal, noise: deviation }) => {
    // Image and noise are of one length.
    const frame = noise.map((eps, i) => signal * (image[i]! / 127.5 - 1) + deviation * eps);
    return Images.fromFloats(frame, 1, height, width);
  });
}
