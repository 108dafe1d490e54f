/**
 * Jobs: requests for images as the scheduler runs them, their progress, results and errors.
 *
 * @module
 */
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { FrameRequest, Pixels, ServedModel } from "../engine/engine.ts";

/** A request for images. */
export interface Job {
  /** Client for fair scheduling: its API key, or the address of the connection or behind a trusted proxy. */
  readonly client: string;
  /** Limit on the client's work in progress in network evaluations, where it has one of its own below the server's. */
  readonly maxWork?: number;
  /** Name of the model that draws; default: the first. */
  readonly model?: string;
  /** From `planQuery`; image i has `labels[i]` and seed `seed + i`. */
  readonly draw: DrawPlan;
  readonly frames?: FrameRequest;
  /** Aborted when the client disconnects: the job is cancelled, and its images leave the batch at the next turn. */
  readonly signal: AbortSignal;
  /** Seconds until the deadline of its request. Default: the timeout of all requests. */
  readonly seconds?: number;
  /** Drawn in rows that no other job wants, without deadline and outside the limits of queue and client. Default false. */
  readonly background?: boolean;
  /** Progress callback; called in order, and not after the promise of {@linkcode Scheduler.run} settles. */
  readonly onProgress?: (progress: JobProgress) => void;
}

/**
 * Progress of a job. When the model is replaced, a job whose images have not all joined the batch starts over with the new
 * model, and its frames and images are reported again.
 */
export type JobProgress =
  /** Number of requests ahead in the queue, 0 for the next one; sent on change. */
  | { readonly type: "queued"; readonly position: number }
  /** The first image has joined the batch; sent again if the job starts over with a new model. */
  | { readonly type: "started" }
  /** A frame of image `index`. */
  | { readonly type: "frame"; readonly index: number; readonly step: number; readonly pixels: Pixels }
  /** Image `index` is finished. */
  | { readonly type: "image"; readonly index: number; readonly pixels: Pixels };

/** A finished job. */
export interface JobResult {
  readonly model: ServedModel;
  /** In the order of the job's labels. */
  readonly images: readonly Pixels[];
  /** Seconds from its arrival until its first image joined the batch, and until its last was finished. */
  readonly waited: number;
  readonly seconds: number;
}

/** Failure or refusal of a job, with its HTTP status. */
export class JobError extends Error {
  override name = "JobError";
  /**
   * @param status 429 too much work of this client; 503 queue full, overloaded, shutting down, the engine is down, or the model
   *   cannot be loaded;
   *   504 timeout; 499 the client disconnected; 500 the image could not be drawn
   * @param code machine-readable code, such as `queue_full`
   * @param retryAfter seconds, for 429 and 503
   * @param cause internal cause, for the log only
   */
  constructor(
    readonly status: 429 | 499 | 500 | 503 | 504,
    readonly code:
      | "too_much_work"
      | "queue_full"
      | "overloaded"
      | "draining"
      | "engine_down"
      | "model_failed"
      | "encoder_busy"
      | "decoder_busy"
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

/** Why requests for a model are refused that cannot be read or loaded; the cause is for the log. */
export function cannotBeLoaded({ name }: { readonly name: string }): string {
  return `the model ${name} cannot be loaded; the server's log says why`;
}

/** Error of a job whose client disconnected. */
export function clientGone(): JobError {
  return new JobError(499, "client_gone", "the client disconnected");
}

/** Load of a scheduler, or of one of its models. */
export interface LoadState {
  /** Requests none of whose images has joined the batch. */
  readonly waiting: number;
  /** Requests in progress. */
  readonly running: number;
  /** Images in the batch, and network rows they take. */
  readonly images: number;
  readonly rows: number;
  /** Parked images. */
  readonly parked: number;
  /** Background jobs, which `waiting` and `running` leave out. */
  readonly background: number;
}

/** Load of a scheduler. */
export interface SchedulerState extends LoadState {
  readonly draining: boolean;
}

/** Runs jobs on an engine, in fair order. */
export interface JobRunner {
  readonly state: SchedulerState;
  /** Load of each model, by its name. */
  readonly models: ReadonlyMap<string, LoadState>;
  /**
   * Draws a job's images, all with one model.
   *
   * @throws {JobError} when the job is refused or fails
   * @throws {ConfigError} when the job cannot fit: guidance with a batch of one row, more work than the limit of a client, or
   *   more than can be done before the deadline
   */
  run(job: Job): Promise<JobResult>;
  /**
   * Refuses new and waiting jobs. Resolves when the running ones have ended, or after `seconds`, when the rest are
   * cancelled.
   */
  drain(seconds: number): Promise<void>;
}
