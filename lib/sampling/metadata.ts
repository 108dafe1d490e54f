/**
 * Image metadata: the parameters that each image was sampled with, so that it can be reproduced.
 *
 * @module
 */
import type { ImageMetadata } from "../image/images.ts";
import type { Precision } from "../model/precision.ts";
import { type DrawPlan, NO_CLASS } from "./request.ts";

/** Model fields of the metadata. */
export interface DrawnBy {
  /** Name of the model, not its path, which would disclose details of the machine when pictures are shared. */
  readonly model: string;
  readonly classes: readonly string[];
  readonly precision: Precision;
}

/** Name of an image's class, or `none`. */
export function className(
  { labels }: Pick<DrawPlan, "labels">,
  { classes }: Pick<DrawnBy, "classes">,
  index: number,
): string {
  return classes[labels[index] ?? classes.length] ?? NO_CLASS;
}

/** Metadata of image `index` of a plan, the same whether it is drawn alone or in a batch. */
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
    ...(by.precision === "mixed" ? { precision: by.precision } : {}),
  };
}
