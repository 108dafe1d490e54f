/**
 * `POST /v1/images/generations`.
 *
 * @module
 */
import { guidanceMetadata, samplerMetadata } from "../../lib/sampling/metadata.ts";
import { settingsFor } from "../http/authentication.ts";
import { readJson } from "../http/body.ts";
import type { ServerContext } from "../http/context.ts";
import { readFields } from "../http/json_fields.ts";
import { type App, refuseQuery } from "../http/request.ts";
import { answerImages, drawImages, errors, imageAnswers } from "./answers.ts";
import { imageRequestSchema, QUERY } from "./fields.ts";
import { planImages, type PlannedRequest, readImageRequest } from "./request.ts";
import { streamImages } from "./stream.ts";

/** Adds the route. */
export function generationsRoute(routes: App, context: ServerContext): void {
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
      ...imageAnswers,
      ...errors({
        400: "A field is wrong or unknown, or the prompt names no class",
        415: "The body is not application/json, or is compressed",
      }),
    },
  });

  routes.post("/images/generations", async (c) => {
    refuseQuery(c, Object.keys(schema.shape), QUERY);
    const fields = readFields(await readJson(c), schema);
    const settings = settingsFor(c, context.settings);
    const request = planImages(readImageRequest(fields, context), { settings });
    c.set("model", request.served.engine.name);
    if (request.partialImages !== undefined) return await streamImages(c, context, request);
    if (request.answer === "b64_json") {
      return answerImages(c, request, await drawImages(c, context, request));
    }
    const server = context.settings.publicUrl ?? new URL("/", c.req.url).href;
    return answerImages(c, request, links(server, request, context));
  });
}

/**
 * URLs of `/generate` for the images. They contain every parameter, so that a changed default does not change images.
 *
 * @param server where clients reach the server
 */
function links(
  server: string,
  { draw, query, model, served, format, scale }: PlannedRequest,
  { device }: Pick<ServerContext, "device">,
): { url: string }[] {
  const { labels, seed, steps, sampler } = draw;
  // The guide is the server's, not a parameter.
  const { guide: _, ...guidance } = guidanceMetadata(draw, model);
  return labels.map((_, i) => {
    const url = new URL(`${server.replace(/\/$/, "")}/generate`);
    const parameters = {
      ...(device.models.length > 1 ? { model: served.engine.name } : {}),
      class: query.class,
      seed: seed + i,
      steps,
      sampler,
      ...samplerMetadata(draw),
      ...guidance,
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
