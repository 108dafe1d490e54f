/**
 * Answers of `/v1/images`, and their descriptions for `/openapi.json`.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { type AnswerDescription, jsonAnswer } from "../http/answers.ts";
import type { ServerContext } from "../http/context.ts";
import { encodeEach } from "../http/encode.ts";
import { patientBody } from "../http/patient_body.ts";
import { type AppEnv, askerOf } from "../http/request.ts";
import { workOf } from "../queue/ticket.ts";
import { classOf, type PlannedRequest, sizeOf, usageOf } from "./request.ts";

const errorSchema = z.object({
  error: z.object({
    message: z.string(),
    type: z.enum(["invalid_request_error", "server_error"]),
    param: z.string().nullable().openapi({ description: "The invalid field." }),
    code: z.string(),
  }),
}).openapi("OpenAiError");

const usageSchema = z.object({
  input_tokens: z.int().openapi({ description: "Words of the prompt, in place of tokens." }),
  input_tokens_details: z.object({ text_tokens: z.int(), image_tokens: z.int() }),
  output_tokens: z.int().openapi({ description: "Network evaluations, in place of tokens." }),
  output_tokens_details: z.object({ text_tokens: z.int(), image_tokens: z.int() }),
  total_tokens: z.int(),
}).openapi("OpenAiUsage");

const imagesSchema = z.object({
  created: z.int(),
  background: z.literal("opaque"),
  output_format: z.enum(["png", "jpeg", "webp"]),
  size: z.string().openapi({ example: "32x32" }),
  data: z.array(z.object({
    b64_json: z.string().optional().openapi({ format: "byte" }),
    url: z.url().optional(),
    revised_prompt: z.string().optional().openapi({ description: "Class of the image." }),
    seed: z.int().openapi({ description: "Extension. Seed that draws this image alone." }),
  })),
  usage: usageSchema,
}).openapi("OpenAiImages");

/** Error responses by status. */
export function errors(reasons: Readonly<Record<number, string>>): Record<string, AnswerDescription> {
  const entries = Object.entries(reasons);
  return Object.fromEntries(entries.map(([status, reason]) => [status, jsonAnswer(reason, errorSchema)]));
}

/** Responses of a route that draws, beside the errors of its body. */
export const imageAnswers = {
  200: {
    description: "The images",
    content: {
      "application/json": { schema: imagesSchema },
      "text/event-stream": { schema: z.string() },
    },
  },
  ...errors({
    401: "The bearer token or API key is missing or wrong, or the key has expired",
    404: "Unknown model",
    413: "The body is too large",
    500: "Internal error",
    429:
      "This client has too much work in progress, or its API key too many requests a minute; Retry-After says when to try again",
    503: "Busy, shutting down, or restarting the GPU engine; Retry-After says when to try again",
    504: "Not finished in time",
  }),
};

/** An image in an answer. */
type AnswerImage = { readonly b64_json: string } | { readonly url: string };

/** Draws the images of a request. */
export async function drawImages(
  c: Context<AppEnv>,
  context: ServerContext,
  { served: { engine }, draw, format, scale }: PlannedRequest,
): Promise<AnswerImage[]> {
  const result = await context.runner.run({ ...askerOf(c), model: engine.name, draw });
  context.metrics.drawn(engine.name, result.waited, workOf(draw), c.var.key?.name);
  const files = await encodeEach(context, draw, result, { format, scale, asker: askerOf(c) });
  return files.map((file) => ({ b64_json: file.toBase64() }));
}

/** Answers with images or their links. */
export function answerImages(
  c: Context<AppEnv>,
  request: PlannedRequest,
  images: readonly AnswerImage[],
): Response {
  const { draw: { seed, labels }, format } = request;
  const answer: z.input<typeof imagesSchema> = {
    created: Math.floor(Date.now() / 1000),
    background: "opaque",
    output_format: format,
    size: sizeOf(request),
    data: images.map((image, i) => ({ ...image, revised_prompt: classOf(request, i), seed: seed + i })),
    usage: usageOf(request, request.answer === "url" ? 0 : labels.length),
  };
  const { body, headers } = patientBody(new TextEncoder().encode(JSON.stringify(answer)));
  return c.body(body, 200, { ...headers, "Content-Type": "application/json", "Cache-Control": "no-store" });
}
