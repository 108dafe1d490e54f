/**
 * Draw plans: requests with the server's and the model's defaults and limits applied. Shared by every route that draws.
 *
 * @module
 */
import { ANY_CLASS, classWords } from "../../lib/sampling/class_choice.ts";
import {
  chooseSampler,
  defaultSteps,
  type DrawPlan,
  type GenerateOptions,
  planDraw,
} from "../../lib/sampling/request.ts";
import { completeEdit, type ImageEdit, stepsRun } from "../../lib/sampling/edits/image_edit.ts";
import { repaintSteps } from "../../lib/diffusion/repaint.ts";
import { mostSteps } from "../../lib/diffusion/sampler.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { ApiKey } from "../keys/api_key.ts";
import type { ServedModel } from "../engine/engine.ts";
import { guidanceOptions, type GuidanceQuery, parameterOf } from "./guidance.ts";
import { ProblemError } from "./problem.ts";
import type { ServerSettings } from "../settings.ts";

/** Longest side of a picture in pixels. */
export const MAX_SIDE = 4096;
/** Maximum pixels in all frames of an animation: a few seconds of encoding. */
const MAX_ANIMATION = 2 ** 23;
/** White pixels between the images of a grid; the default of `Images.grid`. */
const GRID_GAP = 2;

/** Class names, numbers and keywords that a request may use. */
export function allowedClasses(model: Pick<ServedModel, "config" | "classes">): string[] {
  const numbers = model.classes.map((_, index) => String(index));
  return [...new Set([...model.classes, ...numbers, ...classWords(model)])];
}

/** A request for images, in the names of `/generate`. */
export type DrawQuery =
  & Pick<GenerateOptions, "class" | "count" | "seed" | "edit" | "guidance">
  & Pick<GenerateOptions, "steps" | "sampler" | "spacing" | "eta" | "variance" | "churn">
  & GuidanceQuery;

/** Defaults and limits of requests. */
export interface PlanSettings
  extends Pick<ServerSettings, "steps" | "sampler" | "guidance" | "maxImages" | "maxSteps"> {
  /** The API key whose limits these are, where it has some. */
  readonly limitedBy?: Pick<ApiKey, "name" | "limits">;
}

/**
 * Applies the server's and the model's defaults, and checks the request against the limits of both.
 *
 * @param request defaults: class `any`, a random seed of 32 bits
 * @throws {ProblemError} 400 naming the field and what is allowed
 */
export function planQuery(
  request: DrawQuery,
  model: ServedModel,
  settings: PlanSettings,
): DrawPlan {
  const { count = 1, seed = randomSeed(), class: choice = ANY_CLASS, ...rest } = request;
  if (count > settings.maxImages) {
    throw ProblemError.fields([
      { field: "count", value: count, allowed: upTo(settings.maxImages, "images", settings) },
    ]);
  }
  const { maxSteps } = settings;
  if (request.steps !== undefined && request.steps > maxSteps) {
    throw ProblemError.fields([
      { field: "steps", value: request.steps, allowed: upTo(maxSteps, "steps", settings) },
    ]);
  }
  try {
    const options = { ...rest, ...guidanceOptions(request), class: choice, count, seed };
    if (options.edit) {
      // Before planning, which may take long
      const sampler = chooseSampler(options, model, settings);
      const { steps = defaultSteps(sampler, model.schedule, settings) } = options;
      checkPasses(options.edit, steps, maxSteps);
    }
    const plan = planDraw(options, model, settings);
    if (plan.evaluations <= maxSteps) return plan;
    const steps = mostSteps(model.schedule, maxSteps, plan);
    // The default exceeds it; not every smaller number fits the schedule.
    if (request.steps === undefined) return planDraw({ ...options, steps }, model, settings);
    const why = `, since ${plan.sampler} evaluates the network twice a step`;
    throw new ConfigError("steps", request.steps, `a whole number from 1 to ${steps}${why}`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { field, value, allowed } = error;
    throw ProblemError.fields([{ field: parameterOf(field), value, allowed }]); // shortens long values
  }
}

/** The range up to a limit, with the API key that it is of. */
function upTo(most: number, limit: "images" | "steps", { limitedBy }: PlanSettings): string {
  const by = limitedBy?.limits[limit] === most ? `, the limit of the API key ${limitedBy.name}` : "";
  return `a whole number from 1 to ${most}${by}`;
}

/** @throws {ConfigError} for RePaint's passes over more steps than an image may have */
function checkPasses(edit: ImageEdit, steps: number, maxSteps: number): void {
  const { resamplings, jump, strength } = completeEdit(edit, steps);
  const takes = repaintSteps(stepsRun(steps, strength), jump, resamplings);
  if (resamplings === 1 || takes <= maxSteps) return;
  const limit = `the server's limit is ${maxSteps} network evaluations an image`;
  throw new ConfigError("resamplings", resamplings, `fewer, since they take ${takes} and ${limit}`);
}

function randomSeed(): number {
  const [seed] = crypto.getRandomValues(new Uint32Array(1));
  return seed!; // one element
}

/**
 * Limits pictures to {@linkcode MAX_SIDE} pixels a side and animations to {@linkcode MAX_ANIMATION} in all, before
 * anything is drawn.
 *
 * @param images images in one picture
 * @param frames frames of an animation; 1 for a still picture
 * @throws {ProblemError} 400 with the largest scale that fits
 */
export function checkPictureSize(
  model: Pick<ServedModel, "height" | "width">,
  images: number,
  scale: number,
  frames: number = 1,
): void {
  const fits = (scale: number) => {
    const [width, height] = pictureSize(model, images, scale);
    const moving = frames > 1 && frames * width * height > MAX_ANIMATION;
    return Math.max(width, height) <= MAX_SIDE && !moving;
  };
  if (fits(scale)) return;
  let largest = scale - 1;
  while (largest > 0 && !fits(largest)) largest--;
  const most = frames > 1
    ? `an animation of ${frames} frames may have ${MAX_ANIMATION} pixels in all`
    : `a picture may have ${MAX_SIDE} pixels a side`;
  const problem = largest > 0
    ? { field: "scale", value: scale, allowed: `at most ${largest} for ${images} images, since ${most}` }
    : { field: "count", value: images, allowed: `fewer images, since ${most}` };
  throw ProblemError.fields([problem]);
}

/** Width and height of one image, or of the grid that `Images.grid` arranges several in. */
function pictureSize(
  { height, width }: Pick<ServedModel, "height" | "width">,
  images: number,
  scale: number,
): [number, number] {
  if (images === 1) return [width * scale, height * scale];
  const columns = Math.ceil(Math.sqrt(images));
  const rows = Math.ceil(images / columns);
  const side = (count: number, length: number) => count * length * scale + (count + 1) * GRID_GAP;
  return [side(columns, width), side(rows, height)];
}
