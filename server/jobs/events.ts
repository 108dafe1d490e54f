/**
 * Progress of a job as server-sent events.
 *
 * @module
 */
import type { Context } from "hono";
import type { Clock } from "../clock.ts";
import type { ServerContext } from "../http/context.ts";
import { EventQueue } from "../http/event_queue.ts";
import { eventText } from "../http/event_stream.ts";
import { problemBody } from "../http/problem.ts";
import { type AppEnv, instanceOf } from "../http/request.ts";
import { STREAM_HEADERS, streamAnswer } from "../http/stream_answer.ts";
import { describeJob } from "./answers.ts";
import type { Jobs } from "./jobs.ts";
import { isFinal, type StoredJob } from "./store.ts";

/** Options of {@linkcode streamJobEvents}. */
export interface JobEventsOptions {
  readonly job: StoredJob;
  readonly jobs: Jobs;
  readonly clock?: Clock;
}

/** Streams the job as it is now and after each change, until it has ended. A slow reader gets only the latest. */
export function streamJobEvents(
  c: Context<AppEnv>,
  context: ServerContext,
  { job, jobs, clock }: JobEventsOptions,
): Response {
  if (c.req.method === "HEAD") return c.body(null, 200, STREAM_HEADERS);
  const queue = new EventQueue<StoredJob>();
  const offer = (changed: StoredJob) => {
    if (changed.id !== job.id) return;
    queue.offer(0, changed);
    if (isFinal(changed.state)) end();
  };
  const end = () => {
    forget();
    queue.end();
  };
  const forget = jobs.listen(offer, end);
  offer(job);
  return streamAnswer(c, context, queue, {
    render: (changed) => Promise.resolve(eventText("job", describeJob(changed, jobs, context.settings))),
    errorBody: (problem) => problemBody(problem, instanceOf(c)),
    onCancel: end,
    clock,
  });
}
