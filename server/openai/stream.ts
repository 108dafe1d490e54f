/**
 * `stream` of `POST /v1/images/generations` and `/v1/images/edits`: previews and images as OpenAI's events.
 *
 * @module
 */
import type { Context } from "hono";
import type { ServerContext } from "../http/context.ts";
import { encodePicture } from "../http/encode.ts";
import { eventText } from "../http/event_stream.ts";
import { streamJob } from "../http/job_stream.ts";
import { previewSteps } from "../http/moments.ts";
import type { AppEnv } from "../http/request.ts";
import { openAiErrorBody } from "./error.ts";
import { classOf, type PlannedRequest, sizeOf, usageOf } from "./request.ts";

/**
 * Draws images and streams OpenAI's events.
 *
 * @throws {JobError} when the request is refused before the response starts
 */
export async function streamImages(
  c: Context<AppEnv>,
  context: ServerContext,
  request: PlannedRequest,
): Promise<Response> {
  const { draw, served, format, scale, partialImages = 0, queueEvents } = request;
  const kind = draw.edit ? "image_edit" : "image_generation";
  const frames = previewSteps(draw.evaluations, { count: partialImages + 1, spacing: "ends" });
  return await streamJob(c, context, {
    draw,
    served,
    frames,
    types: queueEvents ? ["queued", "started", "frame", "image"] : ["frame", "image"],
    previews: "all",
    render: async (event, drawn) => {
      if (event.type === "queued") return eventText(event.type, event);
      if (event.type === "started") return eventText(event.type, { ...event, model: drawn.model.id });
      const { index, pixels } = event;
      const parts = { ...drawn, draw, format, scale, images: [pixels], first: index };
      const file = await encodePicture(context, parts);
      const type = `${kind}.${event.type === "image" ? "completed" : "partial_image"}`;
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
        model: drawn.model.id,
        ...(event.type === "image"
          ? { revised_prompt: classOf(request, index), usage: usageOf(request, 1) }
          : {
            partial_image_index: frames.at.indexOf(event.step),
            step: event.step + 1,
            steps: draw.evaluations,
          }),
      });
    },
    errorBody: openAiErrorBody,
  });
}
