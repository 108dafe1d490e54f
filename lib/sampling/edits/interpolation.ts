/**
 * Interpolation between two images that a model draws, or that are given (Song et al. 2021, arXiv 2010.02502, section 5.3 and appendix
 * D.5).
 *
 * @module
 */
import { checkWhole } from "../../checks.ts";
import { ConfigError } from "../../errors.ts";
import type { Images } from "../../image/images.ts";
import { imageChannels, imageSize } from "../../model/config.ts";
import { guidanceOf } from "../../diffusion/guidance.ts";
import type { DiffusionModel } from "../diffusion_model.ts";
import { initialNoise } from "../initial_noise.ts";
import { type DrawPlan, type GenerateOptions, planDraw } from "../request.ts";
import type { SlotImage } from "../slot_image.ts";
import { planImage } from "./edit_plan.ts";
import { framesOf } from "./frames.ts";
import { checkDeterministic, type InversionOptions, invertBy, planInversion } from "./inversion.ts";
import { stages } from "./stages.ts";

/** Most frames of an interpolation. */
const MAX_FRAMES = 4096;

/** Options of {@linkcode interpolateSeeds}; one class for all frames, and a sampler that adds no noise. */
export interface SeedInterpolation extends Omit<GenerateOptions, "seed" | "count" | "edit"> {
  /** Seeds of the first and the last frame. */
  readonly seeds: readonly [number, number];
  /** Number of frames, 2 to 4096; the first and the last are the images of the seeds. */
  readonly frames: number;
}

/** Options of {@linkcode interpolateImages}; one class for all frames, default none, guidance 1, and a sampler that adds no noise. */
export interface ImageInterpolation extends InversionOptions {
  /** Images of the first and the last frame, each of shape [H, W, C], in [-1, 1]. */
  readonly images: readonly [Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>];
  /** Number of frames, 2 to 4096. */
  readonly frames: number;
}

/**
 * Draws images between those of two seeds, from noise on the great circle between theirs.
 *
 * @returns the frames in order; the first and the last are those of `generate` with their seeds, to the bit
 * @throws {ConfigError} naming the option that is out of range, or that makes the sampler add noise
 * @throws {DeviceError} if the batch does not fit into device memory, or the model was closed
 */
export async function interpolateSeeds(
  model: DiffusionModel,
  { seeds, frames, ...options }: SeedInterpolation,
): Promise<Images> {
  checkWhole("frames", frames, 2, MAX_FRAMES);
  for (const seed of seeds) checkWhole("seeds", seed, 0, Number.MAX_SAFE_INTEGER - 1);
  const settings = planDraw({ ...options, seed: seeds[0], count: 1 }, model);
  const plan = planImage(model.schedule, settings);
  checkDeterministic(settings, plan);
  const [height, width] = imageSize(model.config);
  const [from, to] = seeds.map((seed) => initialNoise(seed, height * width, imageChannels(model.config)));
  const { initialNoise: deviation } = plan[0]!; // a plan has a step or more
  const images = sharesOf(frames).map((share, i): SlotImage => {
    const image = {
      label: onlyLabel(settings),
      ...guidanceOf(settings),
      seed: seeds[i < frames - 1 ? 0 : 1],
    };
    if (share === 0 || share === 1) return image;
    const noise = slerp(from!, to!, share); // one for each seed
    return { ...image, start: noise.map((value) => deviation * value) };
  });
  const data = await model.draw(images, plan, options);
  return framesOf(
    model,
    settings,
    data,
    sharesOf(frames).map((share) => ({ seed: seeds[0], to_seed: seeds[1], interpolation: share })),
  );
}

/**
 * Draws images between two given ones: both are inverted, and noise between theirs is drawn again.
 *
 * @returns the frames in order; the first and the last are the given images as the model draws them again
 * @throws {ConfigError} naming the option that is out of range, or that makes the sampler add noise
 * @throws {DeviceError} if the batch does not fit into device memory, or the model was closed
 */
export async function interpolateImages(
  model: DiffusionModel,
  { images: given, frames, ...options }: ImageInterpolation,
): Promise<Images> {
  checkWhole("frames", frames, 2, MAX_FRAMES);
  const { settings, strength, plan } = planInversion(model, { ...options, guidance: options.guidance ?? 1 });
  const label = onlyLabel(settings);
  const { batch } = settings;
  const [up, down] = stages(options.onStep, [plan.length, plan.length * Math.ceil(frames / batch)]);
  const [from, to] = await invertBy(model, given, label, plan, { batch, onStep: up });
  const images = sharesOf(frames).map((share): SlotImage => ({
    ...{ label, ...guidanceOf(settings), seed: 0 },
    start: slerp(from!, to!, share), // one for each image
  }));
  const data = await model.draw(images, plan, { batch, onStep: down });
  return framesOf(
    model,
    settings,
    data,
    sharesOf(frames).map((share) => ({ interpolation: share, strength })),
  );
}

/**
 * Point on the great circle between two vectors (Shoemake 1985; Song et al. 2021, appendix D.5):
 *
 * ```text
 * sin((1 - share) angle) / sin(angle) from + sin(share angle) / sin(angle) to
 * ```
 *
 * with the angle between the two; on the straight line where they are parallel or one is zero.
 *
 * @param share 0, `from`, to 1, `to`
 */
export function slerp(
  from: Float32Array<ArrayBuffer>,
  to: Float32Array<ArrayBuffer>,
  share: number,
): Float32Array<ArrayBuffer> {
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0); // of one length
  const cosine = dot(from, to) / Math.sqrt(dot(from, from) * dot(to, to));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const sine = Math.sin(angle);
  const [first, second] = sine >= 1e-6
    ? [Math.sin((1 - share) * angle) / sine, Math.sin(share * angle) / sine]
    : [1 - share, share];
  return from.map((value, i) => first * value + second * to[i]!); // of one length
}

/** Shares of the way at the frames, 0 to 1. */
function sharesOf(frames: number): number[] {
  return Array.from({ length: frames }, (_, i) => i / (frames - 1));
}

/** @throws {ConfigError} for several classes */
function onlyLabel({ labels }: DrawPlan): SlotImage["label"] {
  if (labels.length > 1) throw new ConfigError("class", "several", "one class for all frames");
  return labels[0]!; // a plan has a label or more
}
