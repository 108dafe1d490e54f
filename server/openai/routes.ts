/**
 * OpenAI-compatible routes, mounted at `/v1`: `POST /images/generations` and `GET /models`.
 *
 * @module
 */
import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { type AnswerDescription, jsonAnswer } from "../http/answers.ts";
import { readJson } from "../http/body.ts";
import type { ServerContext } from "../http/context.ts";
import { encodeEach } from "../http/encode.ts";
import { servedModel } from "../http/plan.ts";
import { guidanceMetadata } from "../../lib/sampling/metadata.ts";
import type { ServedModel } from "../engine/engine.ts";
import {
  checkModel,
  classText,
  imageRequestSchema,
  MODEL_ALIAS,
  type OpenAIImageRequest,
  readImageRequest,
  sizeOf,
  usageOf,
} from "./request.ts";
import { patientBody } from "../http/patient_body.ts";
import { type App, type AppEnv, clientOf } from "../http/request.ts";
import { streamImages } from "./stream.ts";

export { openAiError } from "./error.ts";

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

const modelSchema = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
}).openapi("OpenAiModel");

/** Creates the routes. They throw errors, which `app.ts` converts with {@linkcode openAiError}. */
export function openAiRoutes(context: ServerContext): App {
  const routes: App = new OpenAPIHono<AppEnv>();
  imagesRoute(routes, context);
  modelRoutes(routes, context);
  return routes;
}

function imagesRoute(routes: App, context: ServerContext): void {
  const schema = imageRequestSchema(context);
  routes.openAPIRegistry.registerPath({
    method: "post",
    path: "/images/generations",
    summary: "Generate images (OpenAI-compatible)",
    description:
      "With `stream`, OpenAI's events `image_generation.partial_image` and `image_generation.completed`, " +
      "with `image_index` if `n` is above 1.",
    request: { body: { content: { "application/json": { schema } }, required: true } },
    responses: {
      200: {
        description: "The images",
        content: {
          "application/json": { schema: imagesSchema },
          "text/event-stream": { schema: z.string() },
        },
      },
      ...errors({
        400: "A field is wrong or unknown, or the prompt names no class",
        401: "The bearer token is missing or wrong",
        404: "Unknown model",
        413: "The body is too large",
        415: "The body is not application/json, or is compressed",
        500: "Internal error",
        429: "This client has too much work in progress; Retry-After says when to try again",
        503: "Busy, shutting down, or restarting the GPU engine; Retry-After says when to try again",
        504: "Not finished in time",
      }),
    },
  });

  routes.post("/images/generations", async (c) => {
    const request = readImageRequest(await readJson(c), schema, context);
    if (request.partialImages !== undefined) return await streamImages(c, context, request);
    const server = context.settings.publicUrl ?? new URL("/", c.req.url).href;
    const data = request.answer === "url" ? links(server, request) : await drawn(c, context, request);
    const { className, draw: { seed, labels } } = request;
    const answer: z.input<typeof imagesSchema> = {
      created: Math.floor(Date.now() / 1000),
      background: "opaque",
      output_format: request.format,
      size: sizeOf(request),
      data: data.map((image, i) => ({ ...image, revised_prompt: className, seed: seed + i })),
      usage: usageOf(request, request.answer === "url" ? 0 : labels.length),
    };
    const { body, headers } = patientBody(new TextEncoder().encode(JSON.stringify(answer)));
    return c.body(body, 200, { ...headers, "Content-Type": "application/json", "Cache-Control": "no-store" });
  });
}

/** Draws the images. */
async function drawn(
  c: Context<AppEnv>,
  context: ServerContext,
  { draw, format, scale }: OpenAIImageRequest,
): Promise<{ b64_json: string }[]> {
  const { signal } = c.req.raw;
  const result = await context.runner.run({ client: clientOf(c), draw, signal });
  context.metrics.waited(result.waited);
  const files = await encodeEach(context, draw, result, { format, scale });
  return files.map((file) => ({ b64_json: file.toBase64() }));
}

/**
 * URLs of `/generate` for the images. They contain every parameter, so that a changed default does not change images.
 *
 * @param server where clients reach the server
 */
function links(
  server: string,
  { draw, className, model, format, scale }: OpenAIImageRequest,
): { url: string }[] {
  const { labels, seed, steps, sampler, spacing } = draw;
  return labels.map((_, i) => {
    const url = new URL(`${server.replace(/\/$/, "")}/generate`);
    const parameters = {
      class: classText(className, model),
      seed: seed + i,
      steps,
      sampler,
      spacing,
      ...guidanceMetadata(draw, model),
      format,
      scale,
    };
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, plain(value));
    return { url: url.href };
  });
}

/** A parameter as text; numbers in decimal notation, since `/generate` accepts no exponents. */
function plain(value: string | number): string {
  const text = String(value);
  return typeof value === "number" && text.includes("e") ? value.toFixed(100) : text;
}

function modelRoutes(routes: App, context: ServerContext): void {
  routes.openAPIRegistry.registerPath({
    method: "get",
    path: "/models",
    summary: "List the served model (OpenAI-compatible)",
    responses: {
      200: jsonAnswer("One model", z.object({ object: z.literal("list"), data: z.array(modelSchema) })),
      ...errors({
        401: "The bearer token is missing or wrong",
        503: "No model is ready; Retry-After says when to try again",
      }),
    },
  });
  routes.get("/models", (c) => c.json({ object: "list", data: [describe(servedModel(context))] }));

  routes.openAPIRegistry.registerPath({
    method: "get",
    path: "/models/{id}",
    summary: "Get the served model by id",
    request: {
      params: z.object({ id: z.string().openapi({ description: `Its id, or \`${MODEL_ALIAS}\`.` }) }),
    },
    responses: {
      200: jsonAnswer("The model", modelSchema),
      ...errors({
        401: "The bearer token is missing or wrong",
        404: "Unknown model",
        503: "No model is ready; Retry-After says when to try again",
      }),
    },
  });
  routes.get("/models/:id", (c) => {
    const model = servedModel(context);
    checkModel(c.req.param("id"), model);
    return c.json(describe(model));
  });
}

function describe({ id, loadedAt }: ServedModel): z.output<typeof modelSchema> {
  return { id, object: "model", created: Math.floor(loadedAt / 1000), owned_by: MODEL_ALIAS };
}

function errors(reasons: Readonly<Record<number, string>>): Record<string, AnswerDescription> {
  const entries = Object.entries(reasons);
  return Object.fromEntries(entries.map(([status, reason]) => [status, jsonAnswer(reason, errorSchema)]));
}
