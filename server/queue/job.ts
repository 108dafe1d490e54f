/**
 * Jobs: requests for images as the scheduler runs them, their progress, results and errors.
 *
 * @module
 */
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { FrameRequest, Pixels, ServedModel } from "../engine/engine.ts";

/** Images that one request asks for. */
export interface Job {
  /** Client for fair scheduling: the address of the connection or behind a trusted proxy. */
  readonly client: string;
  /** From `planQuery`; image i has `labels[i]` and seed `seed + i`. */
  readonly draw: DrawPlan;
  readonly frames?: FrameRequest;
  /** Aborted when the client goes away: what waits never runs, what runs leaves the batch at the next turn. */
  readonly signal: AbortSignal;
  /** How far it is; called in order, ends with the promise of {@linkcode Scheduler.run}. */
  readonly onProgress?: (progress: JobProgress) => void;
}

/**
 * What is told of a job under way. One that has begun when another model takes over, and is not all in the batch,
 * begins again with the new one: its frames and images are then told again.
 */
export type JobProgress =
  /** Requests before this one; told when it changes. 0 is next. */
  | { readonly type: "queued"; readonly position: number }
  /** The first image has joined the batch; again where a new model makes the job start over. */
  | { readonly type: "started" }
  /** A frame of image `index`. */
  | { readonly type: "frame"; readonly index: number; readonly step: number; readonly pixels: Pixels }
  /** Image `index` is finished. */
  | { readonly type: "image"; readonly index: number; readonly pixels: Pixels };

/** A finished job. */
export interface JobResult {
  readonly model: ServedModel;
  /** Whose it was: what is made of the images is for the same client, and no longer wanted when it goes away. */
  readonly job: Pick<Job, "client" | "signal">;
  /** In the order of the job's labels. */
  readonly images: readonly Pixels[];
  /** Seconds from its arrival until its first image joined the batch, and until its last was finished. */
  readonly waited: number;
  readonly seconds: number;
}

/** Why a job was not done. `status` is the HTTP status that says so. */
export class JobError extends Error {
  override name = "JobError";
  /**
   * @param status 429 the client has too much under way; 503 queue full, too much to do, shutting down, or the engine is down;
   *   504 out of time; 499 the client went away; 500 the image could not be drawn
   * @param code a word for programs, such as `queue_full`
   * @param retryAfter seconds after which trying again makes sense, for 429 and 503
   * @param cause what went wrong inside, for the log alone
   */
  constructor(
    readonly status: 429 | 499 | 500 | 503 | 504,
    readonly code:
      | "too_much_work"
      | "queue_full"
      | "overloaded"
      | "draining"
      | "engine_down"
      | "encoder_busy"
      | "timeout"
      | "client_gone"
      | "failed",
    message: string,
    readonly retryAfter?: number,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

/** Why nothing more is done for a client that has gone. */
export function clientGone(): JobError {
  return new JobError(499, "client_gone", "the client went away");
}

/** How busy a scheduler is. */
export interface SchedulerState {
  /** Requests of which nothing has begun. */
  readonly waiting: number;
  /** Requests that have begun. */
  readonly running: number;
  /** Images in the batch, and network rows they take. */
  readonly images: number;
  readonly rows: number;
  /** Images set aside half way, for others to have their share. */
  readonly parked: number;
  readonly draining: boolean;
}

/** Takes jobs, in fair order, through an engine. */
export interface JobRunner {
  readonly state: SchedulerState;
  /**
   * Draws a job's images, all of one model.
   *
   * @throws {JobError} as its status says
   * @throws {ConfigError} for what never fits: guidance where the batch has no second row, more work than a client may
   *   ask for, or than can be done before the deadline
   */
  run(job: Job): Promise<JobResult>;
  /**
   * Refuses new jobs and those that wait; resolves when those that have begun have ended, or after `seconds`, when the
   * rest are refused.
   */
  drain(seconds: number): Promise<void>;
}
