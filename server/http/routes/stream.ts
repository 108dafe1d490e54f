/**
 * `GET /generate/stream`: images as they come out of the noise, as server-sent events.
 *
 * @module
 */
import { className } from "../../../lib/sampling/metadata.ts";
import type { DrawPlan } from "../../../lib/sampling/request.ts";
import { problems, textAnswer } from "../answers.ts";
import type { Clock } from "../../clock.ts";
import type { ServerContext } from "../context.ts";
import { checkPictureSize, encodePicture, planQuery, previewSteps, servedModel } from "../drawing.ts";
import type { Pixels, ServedModel } from "../../engine/engine.ts";
import { EventQueue } from "../event_queue.ts";
import { eventText } from "../event_stream.ts";
import type { JobProgress, JobResult } from "../../queue/job.ts";
import { problemBody } from "../problem.ts";
import { type App, clientOf, instanceOf, readQuery, streamParameters } from "../request.ts";
import { STREAM_HEADERS, streamAnswer } from "../stream_answer.ts";

type StreamEvent =
  | JobProgress
  | { readonly type: "done"; readonly result: JobResult }
  | { readonly type: "error"; readonly error: unknown };

/** Adds the route. */
export function streamRoute(app: App, context: ServerContext, clock?: Clock): void {
  const parameters = streamParameters(context.settings);
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/generate/stream",
    summary: "Draw images and watch",
    description:
      "Events: `queued` {position}, `started` {model, seed, count, steps}, `preview` {index, step, steps, " +
      "image} with what the network takes the finished image to be, `image` {index, seed, class, image} with the " +
      "bytes that /generate gives for that seed, then `done` {model, seed, count, steps, waited, seconds} or " +
      "`error` with a problem. Images are PNG in base64. Previews that a slow reader has no time for are left out.",
    request: { query: parameters },
    responses: {
      200: textAnswer("Server-sent events", "text/event-stream"),
      ...problems(400, 401, 429, 500, 503),
    },
  });

  app.get("/generate/stream", async (c) => {
    const { every, scale = 1, ...query } = readQuery(c, parameters);
    const model = servedModel(context);
    const draw = planQuery(query, model, context.settings);
    checkPictureSize(model, 1, scale);
    if (c.req.method === "HEAD") return c.body(null, 200, STREAM_HEADERS);

    const queue = new EventQueue<StreamEvent>();
    const gone = new AbortController();
    const asker = { client: clientOf(c), signal: AbortSignal.any([c.req.raw.signal, gone.signal]) };
    const view = new View(context, draw, scale, model, asker);
    const job = context.runner.run({
      ...asker,
      draw,
      frames: previewSteps(draw.steps, every),
      onProgress(progress) {
        if (progress.type === "started") view.begin(context.engine.model ?? model);
        if (progress.type === "frame") queue.offer(progress.index, progress);
        else queue.push(progress, progress.type === "image" ? progress.index : undefined);
      },
    });
    // A job that is refused at once gets an answer with a status of its own.
    await Promise.race([queue.ready(), job]);
    job.then(
      (result) => queue.push({ type: "done", result }),
      (error) => queue.push({ type: "error", error }),
    ).finally(() => queue.end());

    return streamAnswer(c, context, queue, {
      // An error that ends the job is told as one that the answer itself meets.
      render: async (event) => {
        if (event.type === "error") throw event.error;
        return await view.show(event);
      },
      errorBody: (problem) => problemBody(problem, instanceOf(c)),
      onCancel: () => gone.abort(),
      clock,
    });
  });
}

/** A job as its reader sees it. */
class View {
  readonly #context: ServerContext;
  readonly #draw: DrawPlan;
  readonly #scale: number;
  readonly #arrived = performance.now();
  readonly #asker: JobResult["job"];
  #model: ServedModel;
  #previewed = false;

  constructor(
    context: ServerContext,
    draw: DrawPlan,
    scale: number,
    model: ServedModel,
    asker: JobResult["job"],
  ) {
    this.#asker = asker;
    this.#context = context;
    this.#draw = draw;
    this.#scale = scale;
    this.#model = model;
  }

  /** @param model what the job is drawn with; it may have changed while the job waited */
  begin(model: ServedModel): void {
    this.#model = model;
  }

  async show(event: Exclude<StreamEvent, { type: "error" }>): Promise<string> {
    const { labels, steps, seed } = this.#draw;
    const facts = { model: this.#model.id, seed, count: labels.length, steps };
    switch (event.type) {
      case "queued":
        return eventText("queued", { position: event.position });
      case "started":
        return eventText("started", facts);
      case "frame": {
        const { index, step } = event;
        const text = eventText("preview", { index, step: step + 1, steps, image: await this.#png(event) });
        if (!this.#previewed) this.#context.metrics.firstPreview((performance.now() - this.#arrived) / 1000);
        this.#previewed = true;
        return text;
      }
      case "image": {
        const { index } = event;
        const name = className(this.#draw, this.#model, index);
        return eventText("image", { index, seed: seed + index, class: name, image: await this.#png(event) });
      }
      case "done": {
        const { waited, seconds } = event.result;
        this.#context.metrics.waited(waited);
        return eventText("done", { ...facts, waited, seconds });
      }
    }
  }

  async #png({ index, pixels }: { readonly index: number; readonly pixels: Pixels }): Promise<string> {
    const [job, draw, model, scale] = [this.#asker, this.#draw, this.#model, this.#scale];
    // No deadline of the request's: a picture is encoded when its reader is ready for it, and she may be slow.
    const parts = { job, draw, model, format: "png", scale } as const;
    return (await encodePicture(this.#context, { ...parts, images: [pixels], first: index })).toBase64();
  }
}
