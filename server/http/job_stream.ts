/**
 * Streams the events of a job, for both streaming routes.
 *
 * @module
 */
import type { Context } from "hono";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { ServerContext } from "./context.ts";
import type { FrameRequest, ServedModel } from "../engine/engine.ts";
import { EventQueue } from "./event_queue.ts";
import type { Asker } from "../pictures/picture_worker.ts";
import type { JobProgress, JobResult } from "../queue/job.ts";
import { workOf } from "../queue/ticket.ts";
import { type AppEnv, askerOf } from "./request.ts";
import type { Served } from "./served.ts";
import { streamAnswer, type StreamAnswerOptions } from "./stream_answer.ts";

/** Progress of a job, then its result. */
export type JobEvent = JobProgress | { readonly type: "done"; readonly result: JobResult };

/** The model that drew what an event has, and the client to encode it for. */
export interface RenderContext {
  readonly model: ServedModel;
  readonly asker: Asker;
}

/** Options of {@linkcode streamJob}. */
export interface JobStreamOptions<Type extends JobEvent["type"]>
  extends Pick<StreamAnswerOptions<never>, "errorBody" | "clock"> {
  readonly draw: DrawPlan;
  /** The model that the request has chosen, and was validated against. */
  readonly served: Served;
  readonly frames: FrameRequest;
  /** Types of events to send. */
  readonly types: readonly Type[];
  /** `newest`: a slow reader gets only the latest preview of each image. */
  readonly previews: "newest" | "all";
  /** Serializes an event. */
  readonly render: (
    event: Extract<JobEvent, { readonly type: Type }>,
    drawn: RenderContext,
  ) => Promise<string>;
}

/**
 * Draws images and streams the events of the job.
 *
 * @throws {JobError} when the job is refused before the response starts
 */
export async function streamJob<Type extends JobEvent["type"]>(
  c: Context<AppEnv>,
  context: ServerContext,
  { draw, served, frames, types, previews, render, errorBody, clock }: JobStreamOptions<Type>,
): Promise<Response> {
  type Sent = Extract<JobEvent, { readonly type: Type }>;
  const isSent = (event: JobEvent): event is Sent => (types as readonly string[]).includes(event.type);
  const { metrics, runner, settings } = context;
  const { engine } = served;
  const queue = new EventQueue<{ readonly event: Sent; readonly model: ServedModel } | { error: unknown }>();
  const accepted = Promise.withResolvers<void>();
  const disconnected = new AbortController();
  const present = askerOf(c);
  const asker = { ...present, signal: AbortSignal.any([present.signal, disconnected.signal]) };
  const arrived = performance.now();
  let previewed = false;
  let { model } = served;
  const enqueue = (event: JobEvent) => {
    const image = event.type === "image" ? event.index : undefined;
    const replaceable = event.type === "frame" && previews === "newest" ? event.index : undefined;
    if (!isSent(event)) return;
    if (replaceable !== undefined) queue.offer(replaceable, { event, model });
    else queue.push({ event, model }, image);
  };
  const result = runner.run({
    ...asker,
    model: engine.name,
    draw,
    frames,
    onProgress(progress) {
      accepted.resolve();
      if (progress.type === "started") model = engine.model ?? model; // it may have been replaced
      enqueue(progress);
    },
  });
  await Promise.race([accepted.promise, result]);
  result.then(
    (result) => {
      metrics.drawn(engine.name, result.waited, workOf(draw), c.var.key?.name);
      enqueue({ type: "done", result });
    },
    (error) => queue.push({ error }),
  ).finally(() => queue.end());

  return streamAnswer(c, context, queue, {
    render: async (entry) => {
      if ("error" in entry) throw entry.error; // reported like an encoding error
      const { event, model } = entry;
      // Each picture has the whole timeout, not what is left of the deadline: slow readers may take it after that
      const text = await render(event, { model, asker: { ...asker, seconds: settings.timeout } });
      if (event.type === "frame" && !previewed) {
        previewed = true;
        metrics.firstPreview(engine.name, (performance.now() - arrived) / 1000);
      }
      return text;
    },
    errorBody,
    onCancel: () => disconnected.abort(),
    clock,
  });
}
