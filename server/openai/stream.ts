/**
 * `POST /v1/images/generations` with `stream`: previews and images as OpenAI's clients read them.
 *
 * @module
 */
import type { Context } from "hono";
import type { ServerContext } from "../http/context.ts";
import { encodePicture } from "../http/drawing.ts";
import { shownSteps } from "../../lib/sampling/moments.ts";
import type { Pixels, ServedModel } from "../engine/engine.ts";
import type { Job } from "../queue/job.ts";
import { EventQueue } from "../http/event_queue.ts";
import { eventText } from "../http/event_stream.ts";
import { streamAnswer } from "../http/stream_answer.ts";
import { openAiErrorBody } from "./error.ts";
import { type OpenAIImageRequest, sizeOf, usageOf } from "./request.ts";
import { type AppEnv, clientOf } from "../http/request.ts";

/** A picture to send. */
interface Picture {
  readonly index: number;
  /** Which preview of the image it is; undefined for the image itself. */
  readonly preview: number | undefined;
  readonly pixels: Pixels;
  readonly model: ServedModel;
}

/**
 * Draws a request's images and answers with events.
 *
 * @throws {JobError} when the request is refused at once, so that it gets a status of its own
 */
export async function streamImages(
  c: Context<AppEnv>,
  context: ServerContext,
  request: OpenAIImageRequest,
): Promise<Response> {
  const { draw, partialImages = 0 } = request;
  const at = shownSteps(draw.steps, { count: partialImages + 1, spacing: "ends" }).slice(0, -1);
  const frames = { kind: "predicted", at } as const;
  const queue = new EventQueue<Picture | { readonly error: unknown }>();
  const accepted = Promise.withResolvers<void>();
  const gone = new AbortController();
  const arrived = performance.now();
  let previewed = false;
  let { model } = request;
  const asker = { client: clientOf(c), signal: AbortSignal.any([c.req.raw.signal, gone.signal]) };
  const job = context.runner.run({
    ...asker,
    draw,
    frames,
    onProgress(progress) {
      accepted.resolve();
      if (progress.type === "started") model = context.engine.model ?? model; // another may have come meanwhile
      if (progress.type !== "frame" && progress.type !== "image") return;
      const { index, pixels } = progress;
      const preview = progress.type === "frame" ? frames.at.indexOf(progress.step) : undefined;
      queue.push({ index, preview, pixels, model });
    },
  });
  await Promise.race([accepted.promise, job]);
  job.then(({ waited }) => context.metrics.waited(waited), (error) => queue.push({ error }))
    .finally(() => queue.end());

  return streamAnswer(c, context, queue, {
    render: async (event) => {
      if ("error" in event) throw event.error;
      const text = await pictureEvent(context, request, event, asker);
      if (event.preview !== undefined && !previewed) {
        context.metrics.firstPreview((performance.now() - arrived) / 1000);
        previewed = true;
      }
      return text;
    },
    errorBody: openAiErrorBody,
    onCancel: () => gone.abort(),
  });
}

async function pictureEvent(
  context: ServerContext,
  request: OpenAIImageRequest,
  { index, preview, pixels, model }: Picture,
  job: Pick<Job, "client" | "signal">,
): Promise<string> {
  const { draw, format, scale } = request;
  const parts = { job, draw, model, format, scale, images: [pixels], first: index };
  const file = await encodePicture(context, parts);
  const type = preview === undefined ? "image_generation.completed" : "image_generation.partial_image";
  return eventText(type, {
    type,
    b64_json: file.toBase64(),
    created_at: Math.floor(Date.now() / 1000),
    size: sizeOf(request),
    output_format: format,
    quality: "auto",
    background: "opaque",
    image_index: index,
    seed: draw.seed + index,
    ...(preview === undefined ? { usage: usageOf(request, 1) } : { partial_image_index: preview }),
  });
}
