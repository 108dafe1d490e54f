/**
 * Responses of streaming routes, and their `error` events.
 *
 * @module
 */
import type { Context } from "hono";
import type { Clock } from "../clock.ts";
import type { ServerContext } from "./context.ts";
import type { EventQueue } from "./event_queue.ts";
import { eventStream, eventText } from "./event_stream.ts";
import { ProblemError } from "./problem.ts";
import type { AppEnv } from "./request.ts";

/** Headers of an event stream. */
export const STREAM_HEADERS: Readonly<Record<string, string>> = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store",
  "X-Accel-Buffering": "no", // disables buffering by nginx
};

/** Options of {@linkcode streamAnswer}. */
export interface StreamAnswerOptions<T> {
  /** Serializes an event; called when the reader is ready for it. Errors are sent as `error` events. */
  readonly render: (event: T) => Promise<string>;
  /** Data of an `error` event. */
  readonly errorBody: (problem: ProblemError) => unknown;
  /** Called when the reader disconnects or times out. */
  readonly onCancel: () => void;
  readonly clock?: Clock;
}

/** Streams the events of `queue` until its end. */
export function streamAnswer<T>(
  c: Context<AppEnv>,
  { metrics, log }: ServerContext,
  queue: EventQueue<T>,
  { render, errorBody, onCancel, clock }: StreamAnswerOptions<T>,
): Response {
  const onError = (error: unknown) => {
    const problem = ProblemError.from(error);
    metrics.failed(problem.code);
    if (problem.status === 500) log.error("stream failed", { id: c.var.requestId }, problem.cause);
    return eventText("error", errorBody(problem));
  };
  return c.body(eventStream(queue, { render, onError, onCancel, clock }), 200, STREAM_HEADERS);
}
