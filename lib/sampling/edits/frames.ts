/**
 * Finished frames of an edit as images with metadata.
 *
 * @module
 */
import { type ImageMetadata, Images } from "../../image/images.ts";
import { imageSize } from "../../model/config.ts";
import type { DiffusionModel } from "../diffusion_model.ts";
import { drawnBy, imageMetadata } from "../metadata.ts";
import type { DrawPlan } from "../request.ts";

/**
 * Converts frames to images.
 *
 * @param settings of all of them
 * @param data shape [frames, H, W, C], in [-1, 1]
 * @param own metadata of each frame beside that of the settings, one entry for each, with the seed if it has one
 */
export function framesOf(
  model: DiffusionModel,
  settings: DrawPlan,
  data: Float32Array,
  own: readonly ImageMetadata[],
): Images {
  const [height, width] = imageSize(model.config);
  const metadata = own.map((entry, i) => {
    const common = imageMetadata(settings, drawnBy(model), Math.min(i, settings.labels.length - 1));
    return { ...common, seed: undefined, ...entry };
  });
  return Images.fromFloats(data, own.length, height, width, metadata);
}
