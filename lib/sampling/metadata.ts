/**
 * Image metadata: how each image was made, so that it can be made again.
 *
 * @module
 */
import type { ImageMetadata } from "../image/images.ts";
import type { Precision } from "../model/precision.ts";
import { type DrawPlan, NO_CLASS } from "./request.ts";

/** What metadata says of the model. */
export interface DrawnBy {
  /** Its name. Not its path: pictures are passed on, and a path tells of the machine they were drawn on. */
  readonly model: string;
  readonly classes: readonly string[];
  readonly precision: Precision;
}

/** Name of an image's class, `none` where it has none. */
export function className(
  { labels }: Pick<DrawPlan, "labels">,
  { classes }: Pick<DrawnBy, "classes">,
  index: number,
): string {
  return classes[labels[index]] ?? NO_CLASS;
}

/** How image `index` of a plan was made; the same for an image drawn alone and for one of many. */
export function imageMetadata(plan: DrawPlan, by: DrawnBy, index: number): ImageMetadata {
  const { seed, sampler, steps, eta, guidance } = plan;
  return {
    model: by.model,
    class: className(plan, by, index),
    seed: seed + index,
    sampler,
    steps,
    ...(eta === undefined ? {} : { eta }),
    guidance,
    ...(by.precision === "float16" ? { precision: by.precision } : {}),
  };
}
