/** Applications with jobs, on a fake engine and a database of their own. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Jobs } from "../../../server/jobs/jobs.ts";
import type { JobAnswer } from "../../../server/jobs/answers.ts";
import { inTemporaryDirectory } from "../train/directories.ts";
import { type Harness, harness, type HarnessOptions } from "./harness.ts";

/** An application with jobs. */
export interface JobHarness extends Harness {
  readonly jobs: Jobs;
  /** Sends a job. */
  readonly post: (body: unknown, headers?: Record<string, string>) => Promise<Response>;
  /** Sends a job that must be accepted. */
  readonly accepted: (body: unknown, headers?: Record<string, string>) => Promise<JobAnswer>;
  /** A job as it is now. */
  readonly status: (id: string) => Promise<JobAnswer>;
  /** The job once `condition` holds. */
  readonly until: (id: string, condition: (job: JobAnswer) => boolean) => Promise<JobAnswer>;
}

/** Opens an application on the database in `directory`. */
export function openJobs(directory: string, { settings, ...options }: HarnessOptions = {}): JobHarness {
  const opened = harness({ ...options, settings: { jobs: join(directory, "jobs.db"), ...settings } });
  const post = (body: unknown, headers: Record<string, string> = {}) =>
    opened.ask("/jobs", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  const status = async (id: string) => await (await opened.ask(`/jobs/${id}`)).json() as JobAnswer;
  return {
    ...opened,
    jobs: opened.jobs!,
    post,
    status,
    async accepted(body, headers) {
      const answer = await post(body, headers);
      assert.equal(answer.status, 202, await answer.clone().text());
      return await answer.json();
    },
    async until(id, condition) {
      for (let i = 0; i < 2000; i++) {
        const job = await status(id);
        if (condition(job)) return job;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      throw new Error(`waited too long for ${JSON.stringify(await status(id))}`);
    },
  };
}

/** Runs `body` with an application with jobs, and closes it. */
export async function withJobs(
  options: HarnessOptions,
  body: (opened: JobHarness) => Promise<void>,
): Promise<void> {
  await inTemporaryDirectory(async (directory) => {
    const opened = openJobs(directory, options);
    try {
      await body(opened);
    } finally {
      await closeJobs(opened);
    }
  });
}

/** Ends the application, as its process would. */
export async function closeJobs({ jobs, context, engine }: JobHarness): Promise<void> {
  jobs.stop();
  await context.runner.drain(0);
  jobs.close();
  await engine.close();
}

/** True once a job has ended. */
export function hasEnded({ status }: JobAnswer): boolean {
  return status === "done" || status === "failed" || status === "cancelled";
}
