/**
 * Work on pictures in a worker of its own, one at a time, in fair order. The worker is replaced when it fails or times out.
 *
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import { clientGone, JobError } from "../queue/job.ts";
import { PictureOrder } from "./picture_order.ts";

/** The client that a picture is processed for. */
export interface Asker {
  /** Client for fair scheduling. */
  readonly client: string;
  /** Aborted when the client disconnects; cancels the request. */
  readonly signal: AbortSignal;
  /** Seconds until the deadline. */
  readonly seconds: number;
  /** Limit on its work in progress, where it has one of its own. */
  readonly maxWork?: number;
}

/** Reply of the worker to each job, in order. */
export type PictureAnswer<Result> = { readonly result: Result } | { readonly error: string };

/** Options of {@linkcode PictureWorker} that tests replace. */
export interface PictureWorkerOptions {
  /** Maximum number of waiting requests. Default 256. */
  readonly waiting?: number;
  /** Timeout of one picture in seconds. Default 60. */
  readonly seconds?: number;
  readonly clock?: Clock;
  /** Starts a worker. */
  readonly start?: () => Worker;
}

/** One kind of work. */
export interface PictureWork<Job> {
  /** The worker in errors: "encoder" or "decoder". */
  readonly name: "encoder" | "decoder";
  readonly start: () => Worker;
  /** Message past the deadline. */
  readonly late: string;
  /** Pixels of a job, which its time is about proportional to; asked once, since its buffers may move to the worker. */
  readonly size: (job: Job) => number;
  /** Describes a job in errors, such as "a png". */
  readonly describe: (job: Job) => string;
  /** Buffers of a job that are moved to the worker rather than copied. */
  readonly transfer?: (job: Job) => Transferable[];
}

/** Timeout of a cancelled picture in milliseconds; starting a new worker takes about as long. */
const ABANDONED = 1000;

/** The pictures of one request. */
interface Task<Job, Result> {
  readonly jobs: readonly Job[];
  /** Pixels of each job. */
  readonly sizes: readonly number[];
  readonly results: Result[];
  readonly resolve: (results: Result[]) => void;
  readonly reject: (error: Error) => void;
  /** Removes the listeners of signal and deadline. */
  readonly release: () => void;
}

/** The picture in the worker. */
interface Current<Job, Result> {
  readonly task: Task<Job, Result>;
  /** Cancels its timeout. */
  callOff: () => void;
}

/** Pictures of all requests, processed by one worker. */
export class PictureWorker<Job, Result> {
  readonly #work: PictureWork<Job>;
  readonly #waiting: number;
  readonly #seconds: number;
  readonly #clock: Clock;
  readonly #start: () => Worker;
  /** Every task that has not ended. */
  readonly #tasks = new PictureOrder<Task<Job, Result>>();
  #worker: Worker | undefined;
  #current: Current<Job, Result> | undefined;
  #closed = false;

  constructor(
    work: PictureWork<Job>,
    { waiting = 256, seconds = 60, clock = systemClock, start = work.start }: PictureWorkerOptions = {},
  ) {
    this.#work = work;
    this.#waiting = waiting;
    this.#seconds = seconds;
    this.#clock = clock;
    this.#start = start;
  }

  /** Starts the worker now, so that it is ready for the first picture, rather than with that. */
  warmUp(): void {
    this.#worker ??= this.#open();
  }

  /**
   * Processes the pictures of a request.
   *
   * @returns the result of each, in order
   * @throws {JobError} 499 when the client disconnects, 503 when the queue is full (for the latest request of the client with
   *   the most), 504 past the deadline
   * @throws {Error} when the worker fails or times out; it is replaced
   */
  async run(jobs: readonly Job[], { client, signal, seconds }: Asker): Promise<Result[]> {
    const { name, late } = this.#work;
    if (this.#closed) throw new Error(`the ${name} is closed`);
    if (signal.aborted) throw clientGone();
    const timeout = () => new JobError(504, "timeout", late);
    if (seconds <= 0) throw timeout();
    if (this.#tasks.size >= this.#waiting) {
      const detail = `the ${name}'s queue is full (at most ${this.#waiting} waiting requests)`;
      const busy = new JobError(503, `${name}_busy`, detail, 2);
      // So that no client can keep all others out
      const crowding = this.#tasks.crowding(client);
      if (!crowding) throw busy;
      this.#abandon(crowding, busy);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Result[]>();
    const onAbort = () => this.#abandon(task, clientGone());
    const callOff = this.#clock.after(1000 * seconds, () => this.#abandon(task, timeout()));
    signal.addEventListener("abort", onAbort);
    const release = () => {
      callOff();
      signal.removeEventListener("abort", onAbort);
    };
    const sizes = jobs.map(this.#work.size);
    const task: Task<Job, Result> = { jobs, sizes, results: [], resolve, reject, release };
    this.#tasks.enter(task, client, sizes.reduce((sum, size) => sum + size, 0));
    this.#next();
    return await promise;
  }

  close(): void {
    this.#closed = true;
    this.#worker?.terminate();
    this.#current?.callOff();
    const closed = `the ${this.#work.name} was closed`;
    for (const task of [...this.#tasks]) this.#forget(task).reject(new Error(closed));
  }

  /** Starts a picture of the task whose turn it is. */
  #next(): void {
    const { transfer } = this.#work;
    const task = this.#tasks.first(nextSize);
    if (this.#current || this.#closed || !task) return;
    const worker = this.#worker ??= this.#open();
    const callOff = this.#clock.after(1000 * this.#seconds, () => {
      this.#replace(worker, `took more than ${this.#seconds} s`);
    });
    const job = nextJob(task);
    this.#current = { task, callOff };
    worker.postMessage(job, transfer?.(job) ?? []);
  }

  #open(): Worker {
    const worker = this.#start();
    worker.onmessage = ({ data }: MessageEvent<PictureAnswer<Result>>) => {
      if (this.#worker !== worker) return; // a late message of a replaced worker
      this.#end((task) => {
        if ("error" in data) this.#forget(task).reject(new Error(data.error));
        else if (task.results.push(data.result) === task.jobs.length) {
          this.#forget(task).resolve(task.results);
        }
      });
    };
    worker.onerror = (event) => {
      event.preventDefault(); // otherwise it terminates the process
      if (this.#worker === worker) this.#replace(worker, `ended (${event.message})`);
    };
    return worker;
  }

  /** Replaces the worker, and rejects its current task if there is one. */
  #replace(worker: Worker, why: string): void {
    const { name, describe } = this.#work;
    worker.terminate();
    this.#worker = undefined;
    this.#end((task) => {
      const job = nextJob(task);
      this.#forget(task).reject(new Error(`the ${name}'s worker ${why} at ${describe(job)}`));
    });
  }

  /** Ends the current picture, and starts the next. */
  #end(settle: (task: Task<Job, Result>) => void): void {
    if (!this.#current) return;
    const { task, callOff } = this.#current;
    callOff();
    this.#current = undefined;
    if (this.#tasks.has(task)) {
      this.#tasks.charge(task, nextSize(task));
      settle(task);
    }
    this.#next();
  }

  /** Cancels a task; if the worker has one of its pictures, it has {@linkcode ABANDONED} ms to finish. */
  #abandon(task: Task<Job, Result>, error: JobError): void {
    this.#forget(task).reject(error);
    const [current, worker] = [this.#current, this.#worker!];
    if (current?.task !== task) return;
    current.callOff();
    current.callOff = this.#clock.after(ABANDONED, () => this.#replace(worker, "was stopped"));
  }

  #forget(task: Task<Job, Result>): Task<Job, Result> {
    this.#tasks.leave(task);
    task.release();
    return task;
  }
}

function nextJob<Job, Result>({ jobs, results }: Task<Job, Result>): Job {
  return jobs[results.length]!; // a task ends with its last result
}

function nextSize<Job, Result>({ sizes, results }: Task<Job, Result>): number {
  return sizes[results.length]!; // one for each job
}
