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

/** Headers of a stream of events. */
export const STREAM_HEADERS: Readonly<Record<string, string>> = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store",
  "X-Accel-Buffering": "no", // else nginx holds events back
};

/** How {@linkcode streamAnswer} sends. */
export interface StreamAnswerOptions<T> {
  /** An event as text, made when the reader is ready for it; what it throws is told as an `error` event. */
  readonly render: (event: T) => Promise<string>;
  /** The data of an `error` event. */
  readonly errorBody: (problem: ProblemError) => unknown;
  /** Called when the reader has gone, or nothing more is sent to it. */
  readonly onCancel: () => void;
  readonly clock?: Clock;
}

/** Answers with what is in `queue` until its end. */
export function streamAnswer<T>(
  c: Context<AppEnv>,
  { metrics, log }: ServerContext,
  queue: EventQueue<T>,
  { render, errorBody, onCancel, clock }: StreamAnswerOptions<T>,
): Response {
  const onError = (error: unknown) => {
    const problem = ProblemError.from(error);
    metrics.failed(problem.code);
    if (problem.status === 500) log.error("a stream failed", { id: c.var.requestId }, problem.cause);
    return eventText("error", errorBody(problem));
  };
  return c.body(eventStream(queue, { render, onError, onCancel, clock }), 200, STREAM_HEADERS);
}
