/**
 * Image metadata: the parameters that each image was sampled with, so that it can be reproduced.
 *
 * @module
 */
import type { SpacingName } from "../diffusion/sampler.ts";
import type { ImageMetadata } from "../image/images.ts";
import type { Precision } from "../model/precision.ts";
import { intervalText } from "./guidance_interval.ts";
import { labelText } from "./class_choice.ts";
import type { DrawPlan } from "./request.ts";

/** Hexadecimal digits of a digest in the metadata: 64 bits, by which nobody takes a model for another. */
const SHORT_DIGEST = 16;

/** Model fields of the metadata. */
export interface DrawnBy {
  /** Name of the model, not its path, which would disclose details of the machine when pictures are shared. */
  readonly model: string;
  readonly classes: readonly string[];
  readonly precision: Precision;
  /** SHA-256 of its weights, which tells it from others of the same name. */
  readonly digest: string;
  /** Name and SHA-256 of the guiding model, if there is one. */
  readonly guide?: string;
  readonly guideDigest?: string;
}

/** Fields of a model's metadata. */
export function drawnBy(
  { name, classes, precision, digest, guide, guideDigest }: Omit<DrawnBy, "model"> & {
    readonly name: string;
  },
): DrawnBy {
  return { model: name, classes, precision, digest, guide, guideDigest };
}

/** Class of an image as text: a name, `none`, or a mixture. */
export function className(
  { labels }: Pick<DrawPlan, "labels">,
  { classes }: Pick<DrawnBy, "classes">,
  index: number,
): string {
  return labelText(labels[index] ?? classes.length, classes);
}

/** Settings of guidance under the names that they have in requests to the server; those not in use are left out. */
export interface GuidanceMetadata {
  readonly guidance: number;
  readonly guide?: string;
  readonly negative_class?: string;
  readonly guidance_rescale?: number;
  readonly guidance_interval?: string;
}

/** Guidance of a plan as metadata. */
export function guidanceMetadata(
  { guidance, negative, guidanceRescale, guidanceInterval }: DrawPlan,
  { classes, guide }: Pick<DrawnBy, "classes" | "guide">,
): GuidanceMetadata {
  return {
    guidance,
    ...(guide === undefined || guidance === 1 ? {} : { guide }),
    ...(negative === undefined ? {} : { negative_class: labelText(negative, classes) }),
    ...(guidanceRescale === undefined ? {} : { guidance_rescale: guidanceRescale }),
    ...(guidanceInterval === undefined ? {} : { guidance_interval: intervalText(guidanceInterval) }),
  };
}

/** Settings of a sampler under names in the manner of requests to the server; those not in use are left out. */
export interface SamplerMetadata {
  readonly spacing: SpacingName;
  readonly eta?: number;
  readonly variance?: string;
  readonly churn?: number;
  readonly churn_range?: string;
  readonly churn_noise?: number;
}

/** Settings of a plan's sampler as metadata. */
export function samplerMetadata(plan: DrawPlan): SamplerMetadata {
  const { spacing, eta, variance, churn, churnRange, churnNoise } = plan;
  return {
    spacing,
    ...(eta === undefined ? {} : { eta }),
    ...(variance === undefined ? {} : { variance }),
    ...(churn === undefined ? {} : { churn }),
    ...(churnRange === undefined ? {} : { churn_range: churnRange.join(" to ") }),
    ...(churnNoise === undefined ? {} : { churn_noise: churnNoise }),
  };
}

/** Settings of an edit under the names that they have in requests to the server; those not in use are left out. */
export interface EditMetadata {
  readonly strength?: number;
  readonly mask?: string;
  readonly resamplings?: number;
  readonly jump?: number;
}

/** Edit of a plan as metadata. Neither the given image nor the mask is part of it. */
export function editMetadata({ edit }: Pick<DrawPlan, "edit">): EditMetadata {
  if (!edit) return {};
  const { strength, mask, resamplings, jump } = edit;
  return {
    strength,
    ...(mask ? { mask: `${drawnShare(mask)} % drawn anew` } : {}),
    ...(resamplings === 1 ? {} : { resamplings, jump }),
  };
}

/** Percentage of a mask that is drawn anew. */
function drawnShare(mask: Float32Array): number {
  return Math.round(100 * mask.reduce((sum, value) => sum + value, 0) / mask.length);
}

/** Metadata of image `index` of a plan, the same whether it is drawn alone or in a batch. */
export function imageMetadata(plan: DrawPlan, by: DrawnBy, index: number): ImageMetadata {
  const { seed, sampler, steps } = plan;
  return {
    model: by.model,
    model_digest: by.digest.slice(0, SHORT_DIGEST),
    class: className(plan, by, index),
    seed: seed + index,
    sampler,
    steps,
    ...samplerMetadata(plan),
    ...guidanceMetadata(plan, by),
    ...(plan.guidance === 1 || by.guideDigest === undefined
      ? {}
      : { guide_digest: by.guideDigest.slice(0, SHORT_DIGEST) }),
    ...editMetadata(plan),
    ...(by.precision === "mixed" ? { precision: by.precision } : {}),
  };
}
