/**
 * `GET /generate`: draws images.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import { className, guidanceMetadata, samplerMetadata } from "../../../lib/sampling/metadata.ts";
import type { DrawPlan } from "../../../lib/sampling/request.ts";
import { acceptedFormat, mediaTypes, type OutputFormat } from "../accept.ts";
import { bytesAnswer, jsonAnswer, problems } from "../answers.ts";
import { settingsFor } from "../authentication.ts";
import type { ServerContext } from "../context.ts";
import { encodeEach, encodePicture, type PictureParts } from "../encode.ts";
import { animationSteps } from "../moments.ts";
import { checkPictureSize, planQuery } from "../plan.ts";
import type { Pixels, ServedModel } from "../../engine/engine.ts";
import type { JobResult } from "../../queue/job.ts";
import { workOf } from "../../queue/ticket.ts";
import { patientBody } from "../patient_body.ts";
import { type App, askerOf, generateParameters, readQuery } from "../request.ts";
import { chooseModel } from "../served.ts";

const imagesSchema = z.object({
  model: z.string(),
  sampler: z.string(),
  steps: z.int(),
  spacing: z.string(),
  eta: z.number().optional(),
  variance: z.string().optional(),
  churn: z.number().optional(),
  guidance: z.number(),
  negative_class: z.string().optional(),
  guidance_rescale: z.number().optional(),
  guidance_interval: z.string().optional(),
  images: z.array(z.object({
    seed: z.int().openapi({ description: "Seed that draws this image alone, with the same parameters." }),
    class: z.string(),
    width: z.int(),
    height: z.int(),
    image: z.string().openapi({ description: "PNG, base64", format: "byte" }),
  })),
}).openapi("Images");

/** Adds the route. */
export function generateRoute(app: App, context: ServerContext): void {
  const parameters = generateParameters(context);
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/generate",
    summary: "Draw images",
    description:
      "Returns a picture. Headers: X-Seed (of the first image), X-Model, X-Steps, X-Time (seconds), " +
      "Server-Timing (queue, draw and encode in milliseconds). With a seed, the response has an ETag for conditional " +
      "requests, which do not draw an unchanged picture again.",
    request: { query: parameters },
    responses: {
      200: {
        description: "A picture, or all images as JSON",
        content: {
          ...bytesAnswer("", Object.values(mediaTypes).filter((type) => type.startsWith("image/"))).content,
          ...jsonAnswer("", imagesSchema).content,
        },
      },
      304: { description: "The picture matches If-None-Match" },
      ...problems(400, 401, 406, 429, 500, 503, 504),
    },
  });

  app.get("/generate", async (c) => {
    const query = readQuery(c, parameters);
    const format = query.format ?? acceptedFormat(c.req.header("Accept"));
    const { scale = 1 } = query;
    const { engine, model } = chooseModel(c, context, query.model);
    const draw = planQuery(query, model, settingsFor(c, context.settings));
    const animation = format === "gif" ? animationSteps(draw.evaluations) : undefined;
    checkPictureSize(
      model,
      format === "json" ? 1 : draw.labels.length,
      scale,
      animation && animation.at.length + 1,
    );

    const headers: Record<string, string> = { "Content-Type": mediaTypes[format], "Vary": "Accept" };
    const named = query.seed !== undefined;
    headers["Cache-Control"] = named ? "private, no-cache" : "no-store";
    const etag = (model: ServedModel) => entityTag(model, draw, format, scale);
    if (named && matches(c.req.header("If-None-Match"), etag(model))) {
      return c.body(null, 304, { ...headers, ETag: etag(model) });
    }
    // Hono answers HEAD through the GET handler: do not draw images to discard them.
    if (c.req.method === "HEAD") return c.body(null, 200, headers);

    const frames: Pixels[][] = [];
    const result = await context.runner.run({
      ...askerOf(c),
      model: engine.name,
      draw,
      frames: animation,
      onProgress(progress) {
        if (progress.type !== "frame") return;
        const at = animation!.at.indexOf(progress.step);
        (frames[at] ??= [])[progress.index] = progress.pixels;
      },
    });
    context.metrics.drawn(engine.name, result.waited, workOf(draw), c.var.key?.name);

    const start = performance.now();
    const asker = askerOf(c);
    const { model: by, images } = result;
    const bytes = format === "json"
      ? await imagesJson(context, { draw, scale, asker, model: by, images })
      : await encodePicture(context, { draw, scale, asker, model: by, images, format, frames });
    const encoded = (performance.now() - start) / 1000;
    if (named) headers["ETag"] = etag(result.model);
    const { body, headers: length } = patientBody(bytes);
    return c.body(body, 200, { ...headers, ...length, ...facts(draw, result, encoded, format) });
  });
}

/** The images as JSON. It contains no times, so that the same seed gives the same bytes. */
async function imagesJson(
  context: ServerContext,
  { draw, scale, asker, ...result }: Omit<PictureParts, "format">,
): Promise<Uint8Array<ArrayBuffer>> {
  const { model } = result;
  const files = await encodeEach(context, draw, result, { format: "png", scale, asker });
  const { sampler, steps, seed } = draw;
  const images = files.map((file, i) => ({
    seed: seed + i,
    class: className(draw, model, i),
    width: model.width * scale,
    height: model.height * scale,
    image: file.toBase64(),
  }));
  const settings = { sampler, steps, ...samplerMetadata(draw), ...guidanceMetadata(draw, model) };
  return new TextEncoder().encode(JSON.stringify({ model: model.id, ...settings, images }));
}

/** Headers with the picture's parameters and timing. */
function facts(
  draw: DrawPlan,
  { model, waited, seconds }: JobResult,
  encoded: number,
  format: OutputFormat,
): Record<string, string> {
  const count = draw.labels.length;
  const name = className(draw, model, 0).replace(/[^A-Za-z0-9]+/g, "_").slice(0, 64);
  const file = `${name}-${draw.seed}${count > 1 ? `-x${count}` : ""}.${format}`;
  const milliseconds = (seconds: number) => (1000 * seconds).toFixed(1);
  const timing = { queue: waited, draw: seconds - waited, encode: encoded };
  return {
    "X-Seed": String(draw.seed),
    "X-Model": encodeURI(model.id.toWellFormed()), // directory names may have characters that headers may not
    "X-Steps": String(draw.steps),
    "X-Time": (seconds + encoded).toFixed(3),
    "Server-Timing": Object.entries(timing).map(([name, value]) => `${name};dur=${milliseconds(value)}`).join(
      ", ",
    ),
    "Content-Disposition": `inline; filename="${file}"`,
  };
}

/** Entity tag of a picture: a hash of everything it depends on, including the time when the model was loaded. */
function entityTag(model: ServedModel, draw: DrawPlan, format: OutputFormat, scale: number): string {
  const facts = JSON.stringify([model.id, model.path, model.loadedAt, draw, format, scale]);
  return `"${createHash("sha256").update(facts).digest("base64url").slice(0, 22)}"`;
}

/** Weak comparison of If-None-Match with an entity tag. `*` does not match: no picture exists before it is drawn. */
function matches(list: string | undefined, tag: string): boolean {
  return (list ?? "").split(",").some((one) => [tag, `W/${tag}`].includes(one.trim()));
}
