/**
 * Request bodies of `POST /v1/images/generations`: OpenAI's parameters mapped to draw plans.
 *
 * @module
 */
import { MAX_SCALE } from "../../lib/image/grid.ts";
import { z } from "@hono/zod-openapi";
import { withSuggestion } from "../../lib/suggest.ts";
import { MAX_GUIDANCE } from "../../lib/diffusion/guidance.ts";
import { samplerNames } from "../../lib/diffusion/sampler.ts";
import { ANY_CLASS, classWords, NO_CLASS, resolveClass } from "../../lib/sampling/class_choice.ts";
import { INTERVAL_WORDS, parseInterval } from "../../lib/sampling/guidance_interval.ts";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { ServerContext } from "../http/context.ts";
import { planQuery, servedModel } from "../http/plan.ts";
import type { ServedModel } from "../engine/engine.ts";
import { guidanceWords, RESCALE_RANGE } from "../http/guidance.ts";
import { brief, ProblemError } from "../http/problem.ts";
import { classOfPrompt, synonyms } from "./prompt.ts";
import { fieldProblems, MOST_STEPS, mostStepsNow, type RangeContext } from "../http/request.ts";

/** Alias of the served model. */
export const MODEL_ALIAS = "denoise";
/** Longest prompt in characters. */
const MAX_PROMPT = 1000;
/** Longest side of an image in pixels: OpenAI's sizes are of single images, not of grids. */
const LARGEST_SIZE = 512;

/** A parsed request. */
export interface OpenAIImageRequest {
  readonly model: ServedModel;
  readonly draw: DrawPlan;
  /** Name of the class; undefined where the model has none. */
  readonly className: string | undefined;
  /** Words of the prompt, for `usage`. */
  readonly words: number;
  readonly format: "png" | "jpeg" | "webp";
  readonly scale: number;
  readonly answer: "b64_json" | "url";
  /** Previews of each image in a stream; undefined without `stream`. */
  readonly partialImages: number | undefined;
}

/** WIDTHxHEIGHT of a request's images. */
export function sizeOf({ model, scale }: Pick<OpenAIImageRequest, "model" | "scale">): string {
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
export function usageOf({ words, draw }: Pick<OpenAIImageRequest, "words" | "draw">, images: number): Usage {
  const evaluations = images * draw.imageWork;
  return {
    input_tokens: words,
    input_tokens_details: { text_tokens: words, image_tokens: 0 },
    output_tokens: evaluations,
    output_tokens_details: { text_tokens: 0, image_tokens: evaluations },
    total_tokens: words + evaluations,
  };
}

/** Allowed guidance scales. */
const GUIDANCE_RANGE = range("a number", 0, MAX_GUIDANCE);

const RESCALE_WORDS = range("a number", ...RESCALE_RANGE);

/**
 * Schema of the request body. As with OpenAI, null means that a field is absent.
 *
 * Return types here and below are inferred from zod, so that parsed bodies have the types that the schema checks.
 */
export function imageRequestSchema(context: RangeContext) {
  const { maxImages, maxSteps = MOST_STEPS } = context.settings;
  return z.strictObject({
    prompt: text(1, MAX_PROMPT).openapi({
      description:
        "Searched for the name of one class (whole words, any case, singular or plural) or a synonym: " +
        Object.entries(synonyms).map(([name, words]) => `${name} (${words.join(", ")})`).join("; ") +
        ". If it names no class, or more than one, the response is 400. Unconditional models accept any prompt.",
      example: "a photo of a cat",
    }),
    model: optional(text(0, 1000), `The served model's id, or \`${MODEL_ALIAS}\`.`),
    n: optional(
      whole(1, maxImages),
      "Number of images. Image i equals a single image drawn with seed + i. Default 1.",
    ),
    size: optional(
      z.unknown().openapi({ type: ["string", "null"] }), // allowed sizes depend on the model
      `WIDTHxHEIGHT in pixels: the model's own size (\`auto\`, the default) or an integer multiple of it up to ` +
        `${LARGEST_SIZE}x${LARGEST_SIZE}, with nearest-neighbour upscaling.`,
    ),
    response_format: optional(
      word(["b64_json", "url"]),
      "`url`: a link to this server's /generate, which draws the same bytes whenever it is fetched.",
    ),
    output_format: optional(word(["png", "jpeg", "webp"]), "Default png."),
    stream: optional(
      z.boolean({ error: "true or false" }),
      "Server-sent events: `image_generation.partial_image`, then `image_generation.completed` for each image.",
    ),
    partial_images: optional(
      whole(0, 3),
      "Previews of each image in a stream, fewer if there are not enough steps. Default 0.",
    ),
    seed: optional(
      whole(0, Number.MAX_SAFE_INTEGER - maxImages),
      "Extension. The same seed and parameters give the same bytes. Default: random, returned in the response.",
    ),
    steps: optional(
      whole(1, maxSteps, () => mostStepsNow(context)),
      "Extension. Sampling steps, as for /generate.",
    ),
    sampler: optional(word(samplerNames), "Extension. Sampler, as for /generate."),
    guidance: optional(
      within(z.number({ error: GUIDANCE_RANGE }), GUIDANCE_RANGE, 0, MAX_GUIDANCE),
      "Extension. Classifier-free guidance scale, as for /generate.",
    ),
    negative_class: optional(text(1, 1000), `Extension. ${guidanceWords.negative_class}`),
    guidance_rescale: optional(
      within(z.number({ error: RESCALE_WORDS }), RESCALE_WORDS, ...RESCALE_RANGE),
      `Extension. ${guidanceWords.guidance_rescale}`,
    ),
    guidance_interval: optional(
      z.string({ error: INTERVAL_WORDS }).refine((text) => parseInterval(text) !== undefined, INTERVAL_WORDS),
      `Extension. ${guidanceWords.guidance_interval}`,
    ),
    user: ignored(text(0, 1000)),
    safety_identifier: ignored(text(0, 1000)),
    quality: ignored(text(0, 100)),
    style: ignored(text(0, 100)),
    background: ignored(text(0, 100)),
    moderation: ignored(text(0, 100)),
    complexity: ignored(text(0, 100)),
    output_compression: ignored(whole(0, 100)),
  }).openapi("ImageRequest");
}

function optional<S extends z.ZodType>(schema: S, description: string) {
  return schema.nullish().openapi({ description });
}

function ignored(schema: z.ZodType) {
  return optional(schema, "Accepted for compatibility with OpenAI; ignored.");
}

function text(least: number, most: number) {
  const error = `a text of ${least} to ${most} characters`;
  return z.string({ error }).min(least, error).max(most, error);
}

/** @param mostNow the maximum at the time of the request, for error messages */
function whole(least: number, most: number, mostNow: () => number = () => most) {
  const error = () => range("a whole number", least, mostNow());
  return within(z.int({ error }), error, least, most);
}

function within(schema: z.ZodNumber, error: string | (() => string), least: number, most: number) {
  return schema.min(least, { error }).max(most, { error });
}

function range(what: string, least: number, most: number): string {
  return `${what} from ${least} to ${most}`;
}

function word<const T extends string>(words: readonly T[]) {
  return z.enum(words, {
    error: ({ input }) =>
      withSuggestion(`one of ${words.join(", ")}`, typeof input === "string" ? input : "", words),
  });
}

/**
 * Parses a request body and applies defaults.
 *
 * @throws {ProblemError} 400 for invalid fields, 404 for an unknown model, 503 while no model is loaded
 * @throws {ConfigError} for values that the library rejects
 */
export function readImageRequest(
  body: unknown,
  schema: ReturnType<typeof imageRequestSchema>,
  context: Pick<ServerContext, "engine" | "settings">,
): OpenAIImageRequest {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ProblemError(400, "invalid_json", "the body must be a JSON object");
  }
  const { success, data, error } = schema.safeParse(body);
  if (!success) throw fieldProblems(error.issues, { ...body }, Object.keys(schema.shape));
  const { prompt, n, seed, steps, sampler, guidance, stream, response_format, partial_images } = data;
  const answer = response_format ?? "b64_json";
  if (stream && answer === "url") refuse("response_format", "url", "b64_json in a stream");
  if (!stream && partial_images) refuse("partial_images", partial_images, "0 unless stream is true");

  const model = servedModel(context);
  checkModel(data.model ?? MODEL_ALIAS, model);
  const scale = scaleOf(data.size ?? "auto", model);
  const className = classOfPrompt(prompt, model.classes);
  const query = {
    class: classText(className, model),
    count: n ?? 1,
    seed: seed ?? undefined,
    steps: steps ?? undefined,
    sampler: sampler ?? undefined,
    guidance: guidance ?? undefined,
    negative_class: data.negative_class ?? undefined,
    guidance_rescale: data.guidance_rescale ?? undefined,
    guidance_interval: parseInterval(data.guidance_interval ?? ""),
  };
  return {
    model,
    draw: planQuery(query, model, context.settings),
    className,
    words: prompt.split(/\s+/).filter((word) => word !== "").length,
    format: data.output_format ?? "png",
    scale,
    answer,
    partialImages: stream ? partial_images ?? 0 : undefined,
  };
}

/** Value of `class` for `/generate`: the name, or the index where the name is a reserved word or a number. */
export function classText(className: string | undefined, model: ServedModel): string {
  if (className === undefined) return classWords(model).includes(NO_CLASS) ? NO_CLASS : ANY_CLASS;
  const label = model.classes.indexOf(className);
  return resolveClass(className, model) === label ? className : String(label);
}

/**
 * Checks the name of the model.
 * @throws {ProblemError} 404, listing the accepted names
 */
export function checkModel(name: string, { id }: Pick<ServedModel, "id">): void {
  if (name === id || name === MODEL_ALIAS) return;
  const detail = `the model ${brief(name)} does not exist; expected ${id} or ${MODEL_ALIAS}`;
  throw new ProblemError(404, "model_not_found", detail, {
    errors: [{ field: "model", value: name, allowed: `${id} or ${MODEL_ALIAS}` }],
  });
}

function scaleOf(size: unknown, { width, height }: ServedModel): number {
  if (size === "auto") return 1;
  const largest = Math.max(1, Math.min(MAX_SCALE, Math.floor(LARGEST_SIZE / Math.max(width, height))));
  const sizes = Array.from({ length: largest }, (_, i) => `${width * (i + 1)}x${height * (i + 1)}`);
  return sizes.findIndex((one) => one === size) + 1 ||
    refuse("size", size, `one of auto, ${sizes.join(", ")}`);
}

function refuse(field: string, value: unknown, allowed: string): never {
  throw ProblemError.fields([{ field, value, allowed }]);
}
