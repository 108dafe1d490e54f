/**
 * From what a request asks for to pictures: defaults, the job, the files. Shared by every route that draws.
 *
 * @module
 */
import { imageMetadata } from "../../lib/sampling/metadata.ts";
import { shownSteps } from "../../lib/sampling/moments.ts";
import { ANY_CLASS, classWords, type DrawPlan, planDraw } from "../../lib/sampling/request.ts";
import { ConfigError } from "../../lib/errors.ts";
import { mostSteps, type SamplerName } from "../../lib/diffusion/sampler.ts";
import type { ServerContext } from "./context.ts";
import type { PictureFormat, PictureJob } from "../pictures/encoder.ts";
import type { FrameRequest, Pixels, ServedModel } from "../engine/engine.ts";
import type { JobResult } from "../queue/job.ts";
import { ProblemError } from "./problem.ts";
import type { ServerSettings } from "../settings.ts";

/** What a request asks for; what it leaves out is filled in by {@linkcode planQuery}. */
export interface DrawQuery {
  /** Name (any case), number, `any` or `none`. Default `any`. */
  readonly class?: string;
  readonly count?: number;
  readonly steps?: number;
  readonly sampler?: SamplerName;
  readonly guidance?: number;
  readonly eta?: number;
  /** Default: a random one of 32 bits. */
  readonly seed?: number;
}

/** Longest side of a picture in pixels. */
export const MAX_SIDE = 4096;
/** Most pixels in all frames of an animation: some seconds of work. */
const MAX_ANIMATION = 2 ** 23;
/** White pixels between the images of a grid; the default of `Images.grid`. */
const GRID_GAP = 2;

/**
 * The model that is served.
 *
 * @throws {ProblemError} 503 while the engine is down or starting
 */
export function servedModel({ engine }: Pick<ServerContext, "engine">): ServedModel {
  if (engine.model) return engine.model;
  throw new ProblemError(503, "engine_down", "the model is being loaded; try again in some seconds", {
    headers: { "Retry-After": "5" },
  });
}

/** Names and words that a request may give for a class. */
export function allowedClasses(model: Pick<ServedModel, "config" | "classes">): string[] {
  const numbers = model.classes.map((_, index) => String(index));
  return [...new Set([...model.classes, ...numbers, ...classWords(model)])];
}

/**
 * Fills in the server's and the model's defaults, and checks the request against both.
 *
 * @throws {ProblemError} 400 naming the field and what is allowed
 */
export function planQuery(
  query: DrawQuery,
  model: ServedModel,
  settings: Pick<ServerSettings, "steps" | "sampler" | "guidance" | "maxImages" | "maxSteps">,
): DrawPlan {
  const { count = 1, seed = randomSeed(), class: choice = ANY_CLASS, ...rest } = query;
  if (count > settings.maxImages) {
    throw ProblemError.fields([
      { field: "count", value: count, allowed: `a whole number from 1 to ${settings.maxImages}` },
    ]);
  }
  const { maxSteps = Infinity } = settings;
  if (query.steps !== undefined && query.steps > maxSteps) {
    throw ProblemError.fields([
      { field: "steps", value: query.steps, allowed: `a whole number from 1 to ${maxSteps}` },
    ]);
  }
  try {
    const plan = planDraw({ ...rest, class: choice, count, seed }, model, settings);
    // The default may be more, and not every number below it fits the schedule.
    return plan.steps > maxSteps ? { ...plan, steps: mostSteps(model.schedule, maxSteps) } : plan;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { field, value, allowed } = error;
    throw ProblemError.fields([{ field, value, allowed }]); // which cuts what was sent
  }
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

/**
 * Checks that a picture is not larger than {@linkcode MAX_SIDE} a side, an animation not than
 * {@linkcode MAX_ANIMATION} in all, before anything is drawn.
 *
 * @param images in one picture
 * @param frames of an animation; 1 for a picture that stands still
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

/** Width and height of an image, or of the grid of several that `Images.grid` makes. */
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

/** Images to make one file of. */
export interface PictureParts {
  readonly draw: DrawPlan;
  readonly model: ServedModel;
  readonly format: PictureFormat;
  readonly scale: number;
  /** Images of the job, in order. */
  readonly images: readonly Pixels[];
  /** Index in the job of the first of `images`. Default 0. */
  readonly first?: number;
  readonly frames?: readonly (readonly Pixels[])[];
  /** Who waits for it. */
  readonly job: JobResult["job"];
  /** Seconds that the request has taken so far; what is left of its time is for encoding. Default 0. */
  readonly seconds?: number;
}

/** What it takes to make files of pictures. */
type Encoding = Pick<ServerContext, "encoder" | "metrics" | "settings">;

/**
 * Encodes one image, a grid of several, or an animation, before the deadline of the request.
 *
 * @throws {JobError} as its status says
 */
export async function encodePicture(
  context: Encoding,
  parts: PictureParts,
): Promise<Uint8Array<ArrayBuffer>> {
  const [file] = await encodeAll(context, [parts]);
  return file;
}

/**
 * Encodes every image of a finished job as a file of its own, before the deadline of the request.
 *
 * @throws {JobError} as its status says
 */
export async function encodeEach(
  context: Encoding,
  draw: DrawPlan,
  { images, ...result }: Pick<JobResult, "model" | "images" | "job" | "seconds">,
  { format, scale }: { format: PictureFormat; scale: number },
): Promise<Uint8Array<ArrayBuffer>[]> {
  return await encodeAll(
    context,
    images.map((image, first) => ({ ...result, draw, format, scale, images: [image], first })),
  );
}

/** Encodes pictures of one request. */
async function encodeAll(
  { encoder, metrics, settings }: Encoding,
  pictures: readonly PictureParts[],
): Promise<Uint8Array<ArrayBuffer>[]> {
  const start = performance.now();
  const { job, seconds = 0, format } = pictures[0];
  const left = Math.max(0, settings.timeout - seconds);
  const files = await encoder.encode(pictures.map(pictureJob), { ...job, seconds: left });
  metrics.encoded(format, (performance.now() - start) / 1000);
  return files;
}

function pictureJob({ draw, model, format, scale, images, frames, first = 0 }: PictureParts): PictureJob {
  const metadata = images.map((_, i) => imageMetadata(draw, { ...model, model: model.id }, first + i));
  const { height, width } = model;
  return { format, height, width, scale, images, metadata, frames };
}

/** How many previews of an image a stream shows where the request does not say. */
const PREVIEWS = 8;

/**
 * Steps after which to show a preview.
 *
 * @param every steps from one to the next; default: so that there are about eight
 */
export function previewSteps(
  steps: number,
  every: number = Math.max(1, Math.round(steps / (PREVIEWS + 1))),
): FrameRequest {
  return { kind: "predicted", at: shownSteps(steps, { every }).slice(0, -1) };
}

/** Frames of an animation, the finished image included. */
const ANIMATION_FRAMES = 30;

/** How many frames an animation of so many steps has, and those that come before the finished image. */
export function animationSteps(steps: number): { frames: number; request: FrameRequest } {
  const shown = shownSteps(steps, { count: ANIMATION_FRAMES, spacing: "even" });
  return { frames: shown.length, request: { kind: "noisy", at: shown.slice(0, -1) } };
}
