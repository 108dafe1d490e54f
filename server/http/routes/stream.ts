/**
 * `GET /generate/stream`: previews and images as server-sent events.
 *
 * @module
 */
import { className } from "../../../lib/sampling/metadata.ts";
import type { DrawPlan } from "../../../lib/sampling/request.ts";
import { problems, textAnswer } from "../answers.ts";
import { settingsFor } from "../authentication.ts";
import type { Clock } from "../../clock.ts";
import type { ServerContext } from "../context.ts";
import { encodePicture } from "../encode.ts";
import { eventText } from "../event_stream.ts";
import { type JobEvent, type RenderContext, streamJob } from "../job_stream.ts";
import { previewSteps } from "../moments.ts";
import { checkPictureSize, planQuery } from "../plan.ts";
import type { Pixels } from "../../engine/engine.ts";
import { problemBody } from "../problem.ts";
import { type App, instanceOf, readQuery, streamParameters } from "../request.ts";
import { chooseModel } from "../served.ts";
import { STREAM_HEADERS } from "../stream_answer.ts";

/** Adds the route. */
export function streamRoute(app: App, context: ServerContext, clock?: Clock): void {
  const parameters = streamParameters(context);
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/generate/stream",
    summary: "Draw images and stream previews",
    description:
      "Events: `queued` {position}, `started` {model, seed, count, steps, evaluations}, `preview` {index, step, " +
      "steps, image} with the network's current estimate of the image after each of so many evaluations, `image` " +
      "{index, seed, class, image} with the same bytes as /generate with that seed, then `done` {model, seed, count, " +
      "steps, evaluations, waited, seconds} or " +
      "`error` with problem details. Images are PNG in base64. Slow readers skip previews.",
    request: { query: parameters },
    responses: {
      200: textAnswer("Server-sent events", "text/event-stream"),
      ...problems(400, 401, 429, 500, 503),
    },
  });

  app.get("/generate/stream", async (c) => {
    const { every, scale = 1, ...query } = readQuery(c, parameters);
    const served = chooseModel(c, context, query.model);
    const draw = planQuery(query, served.model, settingsFor(c, context.settings));
    checkPictureSize(served.model, 1, scale);
    if (c.req.method === "HEAD") return c.body(null, 200, STREAM_HEADERS);

    return await streamJob(c, context, {
      draw,
      served,
      frames: previewSteps(draw.evaluations, every === undefined ? undefined : { every }),
      types: ["queued", "started", "frame", "image", "done"],
      previews: "newest",
      render: async (event, drawn) => await jobEventText(event, { context, draw, scale, drawn }),
      errorBody: (problem) => problemBody(problem, instanceOf(c)),
      clock,
    });
  });
}

/** Request and job of a stream's events. */
interface EventSource {
  readonly context: ServerContext;
  readonly draw: DrawPlan;
  readonly scale: number;
  readonly drawn: RenderContext;
}

/** Serializes an event of a job. */
async function jobEventText(event: JobEvent, { context, draw, scale, drawn }: EventSource): Promise<string> {
  const { labels, steps, evaluations, seed } = draw;
  const facts = { model: drawn.model.id, seed, count: labels.length, steps, evaluations };
  const png = async ({ index, pixels }: { readonly index: number; readonly pixels: Pixels }) => {
    const parts = { ...drawn, draw, format: "png", scale, images: [pixels], first: index } as const;
    return (await encodePicture(context, parts)).toBase64();
  };
  switch (event.type) {
    case "queued":
      return eventText("queued", { position: event.position });
    case "started":
      return eventText("started", facts);
    case "frame": {
      const { index, step } = event;
      return eventText("preview", { index, step: step + 1, steps: evaluations, image: await png(event) });
    }
    case "image": {
      const { index } = event;
      const name = className(draw, drawn.model, index);
      return eventText("image", { index, seed: seed + index, class: name, image: await png(event) });
    }
    case "done": {
      const { waited, seconds } = event.result;
      return eventText("done", { ...facts, waited, seconds });
    }
  }
}
