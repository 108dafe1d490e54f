/**
 * Fields of requests for images: OpenAI's, and extensions.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { MAX_GUIDANCE } from "../../lib/diffusion/guidance.ts";
import { samplerNames, spacingNames, variances } from "../../lib/diffusion/sampler.ts";
import { INTERVAL_WORDS, parseInterval } from "../../lib/sampling/guidance_interval.ts";
import { guidanceWords, RESCALE_RANGE } from "../http/guidance.ts";
import { numberField, optional, textField, wholeField, wordField } from "../http/json_fields.ts";
import { MOST_CHURN, mostStepsNow, type RangeContext } from "../http/request.ts";
import { MODEL_ALIAS } from "../http/served.ts";
import { synonyms } from "./prompt.ts";

/** Longest prompt in characters. */
const MAX_PROMPT = 1000;
/** Longest side of an image in pixels: OpenAI's sizes are of single images, not of grids. */
export const LARGEST_SIZE = 512;

/** Query parameters of OpenAI's API: Azure's clients name a version of it. */
export const QUERY: readonly string[] = ["api-version"];

/** Schema of the body of `/v1/images/generations`. */
export function imageRequestSchema(context: RangeContext) {
  return z.strictObject(imageFields(context)).openapi("ImageRequest");
}

/**
 * Fields of a request for images. As with OpenAI, null means that a field is absent.
 *
 * Return types here and below are inferred from zod, so that parsed bodies have the types that the schema checks.
 */
export function imageFields(context: RangeContext) {
  const { maxImages, maxSteps } = context.settings;
  return {
    prompt: textField(1, MAX_PROMPT).openapi({
      description:
        "Searched for the name of one class (whole words, any case, singular or plural) or a synonym: " +
        Object.entries(synonyms).map(([name, words]) => `${name} (${words.join(", ")})`).join("; ") +
        ". If it names no class, or more than one, the response is 400. Unconditional models accept any prompt.",
      example: "a photo of a cat",
    }),
    model: optional(
      textField(0, 1000),
      `Name or id of a model, see /v1/models. Default: \`${MODEL_ALIAS}\`, the server's first.`,
    ),
    n: optional(
      wholeField(1, maxImages),
      "Number of images. Image i equals a single image drawn with seed + i. Default 1.",
    ),
    size: optional(
      z.unknown().openapi({ type: ["string", "null"] }), // allowed sizes depend on the model
      `WIDTHxHEIGHT in pixels: the model's own size (\`auto\`, the default) or an integer multiple of it up to ` +
        `${LARGEST_SIZE}x${LARGEST_SIZE}, with nearest-neighbour upscaling.`,
    ),
    response_format: optional(
      wordField(["b64_json", "url"]),
      "`url`: a link to this server's /generate, which draws the same bytes whenever it is fetched.",
    ),
    output_format: optional(wordField(["png", "jpeg", "webp"]), "Default png."),
    stream: optional(
      z.boolean({ error: "true or false" }),
      "Server-sent events: `image_generation.partial_image`, then `image_generation.completed` for each image.",
    ),
    partial_images: optional(
      wholeField(0, 3),
      "Previews of each image in a stream, fewer if there are not enough steps. Default 0.",
    ),
    queue_events: optional(
      z.boolean({ error: "true or false" }),
      "Extension. A stream begins with the events `queued` {position} while the request waits, and `started` {model}. " +
        "Default false.",
    ),
    class: optional(
      textField(1, 1000),
      "Extension. Class, mixture of classes, `any` or `none`, as for /generate; the prompt is then not searched.",
    ),
    seed: optional(
      wholeField(0, Number.MAX_SAFE_INTEGER - maxImages),
      "Extension. The same seed and parameters give the same bytes. Default: random, returned in the response.",
    ),
    steps: optional(
      wholeField(1, maxSteps, () => mostStepsNow(context)),
      "Extension. Sampling steps, as for /generate.",
    ),
    sampler: optional(wordField(samplerNames), "Extension. Sampler, as for /generate."),
    spacing: optional(wordField(spacingNames), "Extension. Spacing of the noise levels, as for /generate."),
    eta: optional(numberField(0, 1), "Extension. Noise of ddim, as for /generate."),
    variance: optional(wordField(variances), "Extension. Variance of ddpm's noise, as for /generate."),
    churn: optional(numberField(0, MOST_CHURN), "Extension. Noise that edm adds back, as for /generate."),
    guidance: optional(
      numberField(0, MAX_GUIDANCE),
      "Extension. Classifier-free guidance scale, as for /generate.",
    ),
    negative_class: optional(textField(1, 1000), `Extension. ${guidanceWords.negative_class}`),
    guidance_rescale: optional(
      numberField(...RESCALE_RANGE),
      `Extension. ${guidanceWords.guidance_rescale}`,
    ),
    guidance_interval: optional(
      z.string({ error: INTERVAL_WORDS }).refine((text) => parseInterval(text) !== undefined, INTERVAL_WORDS),
      `Extension. ${guidanceWords.guidance_interval}`,
    ),
    user: ignored(textField(0, 1000)),
    safety_identifier: ignored(textField(0, 1000)),
    quality: ignored(textField(0, 100)),
    style: ignored(textField(0, 100)),
    background: ignored(textField(0, 100)),
    moderation: ignored(textField(0, 100)),
    complexity: ignored(textField(0, 100)),
    output_compression: ignored(wholeField(0, 100)),
  };
}

/** Parsed fields of a request. */
export type ImageFields = z.output<ReturnType<typeof imageRequestSchema>>;

/** Schema of a field of OpenAI's without a meaning here. */
export function ignored(schema: z.ZodType) {
  return optional(schema, "Accepted for compatibility with OpenAI; ignored.");
}
