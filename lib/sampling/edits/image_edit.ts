/**
 * Edits of a given image: image to image by its noise (SDEdit: Meng et al. 2022, arXiv 2108.01073) and inpainting (RePaint:
 * Lugmayr et al. 2022, arXiv 2201.09865).
 *
 * @module
 */
import { checkWhole } from "../../checks.ts";
import { markovSamplers, type SamplerName } from "../../diffusion/sampler.ts";
import { ConfigError } from "../../errors.ts";
import { imageChannels, imageSize, type UNetConfig } from "../../model/config.ts";

/** How an image is drawn from a given one instead of from noise alone; plain data, which threads can send. */
export interface ImageEdit {
  /** The given image, shape [H, W, C] of the model, in [-1, 1]. */
  readonly image: Float32Array<ArrayBuffer>;
  /**
   * Share of the steps that is run, above 0 to 1; 1 starts from pure noise. Default 0.6, with a mask 1. At least one step is
   * run; fractions of a step are not.
   */
  readonly strength?: number;
  /** Shape [H, W], 1 where the image is drawn anew, 0 where it is kept; values between blend. Default 1 everywhere. */
  readonly mask?: Float32Array<ArrayBuffer>;
  /**
   * Passes over each stretch of steps, 1 (default, no jumps back) to 50 (RePaint's `r`). More than 1 needs a mask and a
   * sampler whose steps depend on `x` alone: `ddpm`, `ddim` (the default then), `euler` or `euler-ancestral`.
   */
  readonly resamplings?: number;
  /**
   * Steps of a jump back (RePaint's `j`), 1 or more, fewer than are run; default 10, or as many as there can be. Only with
   * `resamplings` above 1.
   */
  readonly jump?: number;
}

/** An edit with its defaults filled in. */
export type CompleteEdit = ImageEdit & Required<Pick<ImageEdit, "strength" | "resamplings" | "jump">>;

/** Most passes over a stretch of steps; Lugmayr et al. 2022 take 10. */
export const MAX_RESAMPLINGS = 50;

const DEFAULT_STRENGTH = 0.6;
const DEFAULT_JUMP = 10;

/** Steps that an edit of a strength runs, of those of a plan from noise; rounded down as in diffusers. */
export function stepsRun(steps: number, strength: number): number {
  // 100 * 0.29 is just below 29.
  return Math.max(1, Math.floor(steps * strength + 1e-9));
}

/** Fills in defaults. */
export function completeEdit(edit: ImageEdit, steps: number): CompleteEdit {
  const { strength = edit.mask ? 1 : DEFAULT_STRENGTH, resamplings = 1 } = edit;
  const { jump = Math.max(1, Math.min(DEFAULT_JUMP, stepsRun(steps, strength) - 1)) } = edit;
  return { ...edit, strength, resamplings, jump };
}

/**
 * Checks an edit.
 *
 * @param edit the edit
 * @param model its size and channels are checked
 * @param plan sampler and steps from noise
 * @throws {ConfigError} naming `image`, `mask`, `strength`, `resamplings` or `jump`; for another size with both sizes
 */
export function checkEdit(
  edit: ImageEdit,
  { config }: { readonly config: UNetConfig },
  { sampler, steps }: { readonly sampler: SamplerName; readonly steps: number },
): void {
  const [height, width] = imageSize(config);
  const { image, mask } = edit;
  const { strength, resamplings, jump } = completeEdit(edit, steps);
  checkImageShape("image", image, [height, width, imageChannels(config)]);
  if (!image.every(Number.isFinite)) throw new ConfigError("image", "values that are not finite", "numbers");
  if (mask) {
    checkImageShape("mask", mask, [height, width]);
    if (!mask.every((value) => value >= 0 && value <= 1)) {
      throw new ConfigError("mask", "values outside", "numbers from 0 (kept) to 1 (drawn anew)");
    }
  }
  checkStrength(strength);
  checkWhole("resamplings", resamplings, 1, MAX_RESAMPLINGS);
  checkWhole("jump", jump, 1, Number.MAX_SAFE_INTEGER);
  if (resamplings === 1) return;
  if (!mask) throw new ConfigError("resamplings", resamplings, "1 without a mask");
  if (!markovSamplers.includes(sampler)) {
    const allowed = `1 with ${sampler}, which uses earlier estimates; ${
      markovSamplers.join(", ")
    } can repeat`;
    throw new ConfigError("resamplings", resamplings, `${allowed} their steps`);
  }
  const run = stepsRun(steps, strength);
  if (run === 1) throw new ConfigError("resamplings", resamplings, "1 where only one step is run");
  if (jump >= run) {
    throw new ConfigError("jump", jump, `fewer than the ${run} steps that are run`);
  }
}

/** @throws {ConfigError} for a strength out of range */
export function checkStrength(strength: number): void {
  if (typeof strength === "number" && strength > 0 && strength <= 1) return;
  throw new ConfigError("strength", strength, "a number above 0 and at most 1");
}

/**
 * Checks the number of values of an image or a mask.
 *
 * @throws {ConfigError} with both sizes
 */
export function checkImageShape(field: string, data: Float32Array, shape: readonly number[]): void {
  const count = shape.reduce((product, size) => product * size, 1);
  if (data.length === count) return;
  throw new ConfigError(field, `${data.length} values`, `${shape.join(" x ")} = ${count} values`);
}
