/**
 * Change of an image's class: inverted with the one that it has, drawn with another (Song et al. 2021, arXiv 2010.02502, section 5.4, for
 * the inversion).
 *
 * @module
 */
import { guidanceOf } from "../../diffusion/guidance.ts";
import type { Images } from "../../image/images.ts";
import { type ClassChoice, labelText, NO_CLASS, resolveLabel } from "../class_choice.ts";
import type { DiffusionModel } from "../diffusion_model.ts";
import type { SlotImage } from "../slot_image.ts";
import { framesOf } from "./frames.ts";
import { type InversionOptions, invertBy, planInversion } from "./inversion.ts";
import { stages } from "./stages.ts";

/** Options of {@linkcode changeClass}; a sampler that adds no noise. */
export interface ClassChange extends InversionOptions {
  /** The given image, shape [H, W, C], in [-1, 1]. */
  readonly image: Float32Array<ArrayBuffer>;
  /** Class of the given image, by name or number; default no class, where the model has a row for it. */
  readonly from?: string | number | null;
  /** Class to draw, or several for one image of each. */
  readonly class: ClassChoice | readonly ClassChoice[];
}

/**
 * Draws a given image anew as another class, from the noise that belongs to it.
 *
 * @returns one image for each class requested
 * @throws {ConfigError} naming the option that is out of range, or that makes the sampler add noise
 * @throws {DeviceError} if the batch does not fit into device memory, or the model was closed
 */
export async function changeClass(
  model: DiffusionModel,
  { image, from, ...options }: ClassChange,
): Promise<Images> {
  const { settings, strength, plan } = planInversion(model, options);
  const source = resolveLabel("from", from ?? NO_CLASS, model);
  const { batch, labels } = settings;
  const [up, down] = stages(options.onStep, [plan.length, plan.length * Math.ceil(labels.length / batch)]);
  const [start] = await invertBy(model, [image], source, plan, { batch, onStep: up });
  const images = labels.map((label): SlotImage => ({ label, ...guidanceOf(settings), seed: 0, start }));
  const data = await model.draw(images, plan, { batch, onStep: down });
  const own = { from: labelText(source, model.classes), strength };
  return framesOf(model, settings, data, labels.map(() => own));
}
