/**
 * Jobs as JSON.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import type { ServerSettings } from "../settings.ts";
import { isFinal, jobStates, type StoredJob, type StoredWebhook } from "./store.ts";

const time = (description: string) => z.iso.datetime().openapi({ description });

/** Schema of a job, for `/openapi.json`. */
export const jobSchema = z.object({
  id: z.string(),
  status: z.enum(jobStates),
  model: z.string().openapi({ description: "Model that draws the images." }),
  created: time("When the job was accepted."),
  started: time("When its first image was begun.").optional(),
  ended: time("When its last image was stored, or it failed or was cancelled.").optional(),
  expires: time("When job and images are deleted, at the latest.").optional(),
  images: z.object({ done: z.int(), total: z.int() }),
  request: z.looseObject({}).openapi({ description: "What is drawn, with all defaults." }),
  waiting: z.string().optional().openapi({ description: "Why nothing is drawn or stored at present." }),
  problem: z.object({ code: z.string(), detail: z.string() }).optional()
    .openapi({ description: "Why the job failed." }),
  webhook: z.object({
    url: z.string(),
    status: z.enum(["pending", "delivered", "failed"]),
    secret: z.string().optional()
      .openapi({ description: "The new key of its signatures, in the answer to the request alone." }),
    next: time("When the next attempt is due.").optional(),
    attempts: z.array(z.object({
      time: time("When it was made."),
      status: z.int().optional().openapi({ description: "HTTP status of the answer." }),
      error: z.string().optional().openapi({ description: "Why there was no answer." }),
    })),
  }).optional(),
  links: z.object({ self: z.string(), events: z.string(), images: z.string(), zip: z.string() }).openapi({
    description: "`images` is the first image; the others have their number in its place.",
  }),
}).openapi("Job");

/** A job as JSON. */
export type JobAnswer = z.input<typeof jobSchema>;

/** Schema of a list of jobs. */
export const jobListSchema = z.object({
  jobs: z.array(jobSchema),
  next: z.string().optional().openapi({ description: "Link to older jobs." }),
}).openapi("JobList");

/**
 * Describes a job to its client.
 *
 * @param jobs the reason why none is drawn at present, if there is one
 */
export function describeJob(
  job: StoredJob,
  jobs: { readonly trouble: string | undefined },
  settings: Pick<ServerSettings, "publicUrl" | "keepJobs">,
): JobAnswer {
  const { id, state, model, created, started, ended, done, count, request, problem, webhook } = job;
  const link = linkTo(settings);
  const waiting = isFinal(state) ? undefined : jobs.trouble;
  return {
    id,
    status: state,
    model,
    created: iso(created),
    ...(started === undefined ? {} : { started: iso(started) }),
    ...(ended === undefined
      ? {}
      : { ended: iso(ended), expires: iso(ended + settings.keepJobs * 3_600_000) }),
    images: { done, total: count },
    request: { ...request },
    ...(waiting === undefined ? {} : { waiting }),
    ...(problem === undefined ? {} : { problem }),
    ...(webhook === undefined ? {} : { webhook: describeWebhook(webhook) }),
    links: {
      self: link(`/jobs/${id}`),
      events: link(`/jobs/${id}/events`),
      images: link(`/jobs/${id}/images/0.png`),
      zip: link(`/jobs/${id}/images.zip`),
    },
  };
}

function describeWebhook({ url, state, due, attempts }: StoredWebhook): NonNullable<JobAnswer["webhook"]> {
  return {
    url,
    status: state,
    ...(due === undefined ? {} : { next: iso(due) }),
    attempts: attempts.map(({ time, ...outcome }) => ({ time: iso(time), ...outcome })),
  };
}

/** Links are paths, unless the server knows its public URL. */
export function linkTo({ publicUrl = "" }: Pick<ServerSettings, "publicUrl">): (path: string) => string {
  return (path) => publicUrl.replace(/\/$/, "") + path;
}

function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
