/**
 * Parameters of `POST /v1/images/generations` and `/v1/images/edits`: OpenAI's, mapped to draw plans.
 *
 * @module
 */
import { MAX_SCALE } from "../../lib/image/grid.ts";
import { ANY_CLASS, classWords, NO_CLASS, resolveClass } from "../../lib/sampling/class_choice.ts";
import type { ImageEdit } from "../../lib/sampling/edits/image_edit.ts";
import { parseInterval } from "../../lib/sampling/guidance_interval.ts";
import { className as nameOf } from "../../lib/sampling/metadata.ts";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { ServedModel } from "../engine/engine.ts";
import type { ServerContext } from "../http/context.ts";
import { type DrawQuery, planQuery, type PlanSettings } from "../http/plan.ts";
import { brief, ProblemError } from "../http/problem.ts";
import { MODEL_ALIAS, modelNames, type Served, servedModel } from "../http/served.ts";
import { type ImageFields, LARGEST_SIZE } from "./fields.ts";
import { classOfPrompt } from "./prompt.ts";

/** A request that has not been planned. */
export interface ImageRequest {
  /** The model that it has chosen. */
  readonly served: Served;
  readonly model: ServedModel;
  readonly query: DrawQuery & { readonly class: string };
  /** Name of the class that the prompt names; undefined where the model has none, and with the extension `class`. */
  readonly className: string | undefined;
  /** Words of the prompt, for `usage`. */
  readonly words: number;
  readonly format: "png" | "jpeg" | "webp";
  readonly scale: number;
  readonly answer: "b64_json" | "url";
  /** Previews of each image in a stream; undefined without `stream`. */
  readonly partialImages: number | undefined;
  /** A stream tells of the queue. */
  readonly queueEvents: boolean;
}

/** A request with its plan. */
export interface PlannedRequest extends ImageRequest {
  readonly draw: DrawPlan;
}

/** WIDTHxHEIGHT of a request's images. */
export function sizeOf({ model, scale }: Pick<ImageRequest, "model" | "scale">): string {
  return `${model.width * scale}x${model.height * scale}`;
}

/** Usage, which OpenAI counts in tokens. */
export interface Usage {
  readonly input_tokens: number;
  readonly input_tokens_details: TokenCounts;
  readonly output_tokens: number;
  readonly output_tokens_details: TokenCounts;
  readonly total_tokens: number;
}

interface TokenCounts {
  readonly text_tokens: number;
  readonly image_tokens: number;
}

/** Usage of `images` images: words of the prompt as input, network evaluations as output, in place of tokens. */
export function usageOf({ words, draw }: Pick<PlannedRequest, "words" | "draw">, images: number): Usage {
  const evaluations = images * draw.imageWork;
  return {
    input_tokens: words,
    input_tokens_details: { text_tokens: words, image_tokens: 0 },
    output_tokens: evaluations,
    output_tokens_details: { text_tokens: 0, image_tokens: evaluations },
    total_tokens: words + evaluations,
  };
}

/**
 * Applies defaults to all but the plan.
 *
 * @throws {ProblemError} 400 for invalid fields, 404 for an unknown model, 503 while no model is loaded
 * @throws {ConfigError} for a prompt that names no class
 */
export function readImageRequest(
  data: ImageFields,
  context: Pick<ServerContext, "device">,
): ImageRequest {
  const { prompt, n } = data;
  const { stream, response_format, partial_images, queue_events } = data;
  const answer = response_format ?? "b64_json";
  if (stream && answer === "url") refuse("response_format", "url", "b64_json in a stream");
  if (!stream && partial_images) refuse("partial_images", partial_images, "0 unless stream is true");
  if (!stream && queue_events) refuse("queue_events", queue_events, "false unless stream is true");

  const served = modelNamed(data.model ?? MODEL_ALIAS, context);
  const { model } = served;
  const scale = scaleOf(data.size ?? "auto", model);
  const className = typeof data.class === "string" ? undefined : classOfPrompt(prompt, model.classes);
  return {
    served,
    model,
    query: {
      class: data.class ?? classText(className, model),
      count: n ?? 1,
      seed: data.seed ?? undefined,
      steps: data.steps ?? undefined,
      sampler: data.sampler ?? undefined,
      spacing: data.spacing ?? undefined,
      eta: data.eta ?? undefined,
      variance: data.variance ?? undefined,
      churn: data.churn ?? undefined,
      guidance: data.guidance ?? undefined,
      negative_class: data.negative_class ?? undefined,
      guidance_rescale: data.guidance_rescale ?? undefined,
      guidance_interval: parseInterval(data.guidance_interval ?? ""),
    },
    className,
    words: prompt.split(/\s+/).filter((word) => word !== "").length,
    format: data.output_format ?? "png",
    scale,
    answer,
    partialImages: stream ? partial_images ?? 0 : undefined,
    queueEvents: queue_events ?? false,
  };
}

/**
 * Plans the images of a request.
 *
 * @throws {ProblemError} 400 naming the field and what is allowed
 */
export function planImages(
  request: ImageRequest,
  { settings }: { readonly settings: PlanSettings },
  edit?: ImageEdit,
): PlannedRequest {
  const { query, model } = request;
  return { ...request, draw: planQuery({ ...query, edit }, model, settings) };
}

/** Class of image `index`, for `revised_prompt`; undefined where the model has none. */
export function classOf(
  { className, draw, model }: PlannedRequest,
  index: number,
): string | undefined {
  return className ?? (model.classes.length > 0 ? nameOf(draw, model, index) : undefined);
}

/** Value of `class` for `/generate`: the name, or the index where the name is a reserved word or a number. */
function classText(className: string | undefined, model: ServedModel): string {
  if (className === undefined) return classWords(model).includes(NO_CLASS) ? NO_CLASS : ANY_CLASS;
  const label = model.classes.indexOf(className);
  return resolveClass(className, model) === label ? className : String(label);
}

/**
 * The model of a name.
 *
 * @throws {ProblemError} 404, listing the accepted names; 503 while no model is ready
 */
export function modelNamed(name: string, context: Pick<ServerContext, "device">): Served {
  try {
    return servedModel(context, name);
  } catch (error) {
    if (!(error instanceof ProblemError) || error.status !== 400) throw error;
    const allowed = [...modelNames(context), MODEL_ALIAS].join(" or ");
    const detail = `the model ${brief(name)} does not exist; expected ${allowed}`;
    throw new ProblemError(404, "model_not_found", detail, {
      errors: [{ field: "model", value: name, allowed }],
    });
  }
}

/** Sizes of images, WIDTHxHEIGHT, by ascending scale. */
export function sizesFor({ width, height }: Pick<ServedModel, "width" | "height">): string[] {
  const largest = Math.max(1, Math.min(MAX_SCALE, Math.floor(LARGEST_SIZE / Math.max(width, height))));
  return Array.from({ length: largest }, (_, i) => `${width * (i + 1)}x${height * (i + 1)}`);
}

function scaleOf(size: unknown, model: ServedModel): number {
  if (size === "auto") return 1;
  const sizes = sizesFor(model);
  return sizes.findIndex((one) => one === size) + 1 ||
    refuse("size", size, `one of auto, ${sizes.join(", ")}`);
}

/** @throws {ProblemError} 400 for a field */
export function refuse(field: string, value: unknown, allowed: string): never {
  throw ProblemError.fields([{ field, value, allowed }]);
}
