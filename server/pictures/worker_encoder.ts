/**
 * The encoder on the main thread: hands pictures to its worker, one at a time.
 *
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import type { Encoder, PictureJob } from "./encoder.ts";
import type { EncoderAnswer } from "./encoder_worker.ts";
import { JobError } from "../queue/job.ts";

/** How a {@linkcode WorkerEncoder} works. */
export interface WorkerEncoderOptions {
  /** Pictures that may wait. Default 256. */
  readonly waiting?: number;
  /** Seconds that one picture may take. Default 60. */
  readonly seconds?: number;
  readonly clock?: Clock;
  /** Starts a worker. */
  readonly start?: () => Worker;
}

interface Task {
  readonly job: PictureJob;
  readonly resolve: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly reject: (error: Error) => void;
}

/** Encodes in a worker, which is replaced when it fails or takes too long. */
export class WorkerEncoder implements Encoder {
  readonly #waiting: number;
  readonly #seconds: number;
  readonly #clock: Clock;
  readonly #start: () => Worker;
  readonly #tasks: Task[] = [];
  #worker: Worker | undefined;
  /** Ends the wait for the task under way; undefined while there is none. */
  #callOff: (() => void) | undefined;
  #closed = false;

  constructor(
    { waiting = 256, seconds = 60, clock = systemClock, start = startWorker }: WorkerEncoderOptions = {},
  ) {
    this.#waiting = waiting;
    this.#seconds = seconds;
    this.#clock = clock;
    this.#start = start;
    this.#worker = this.#open(); // so that it is ready when the first picture is
  }

  /**
   * Makes a file.
   *
   * @throws {JobError} 503 where too many wait
   * @throws {Error} when the worker fails or takes too long; the next picture gets a new one
   */
  encode(job: PictureJob): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#closed) return Promise.reject(new Error("the encoder is closed"));
    if (this.#tasks.length >= this.#waiting) {
      const detail = `${this.#waiting} pictures wait to be made into files`;
      return Promise.reject(
        new JobError(503, "encoder_busy", detail, 2),
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    this.#tasks.push({ job, resolve, reject });
    this.#next();
    return promise;
  }

  close(): void {
    this.#closed = true;
    this.#worker?.terminate();
    this.#callOff?.();
    for (const { reject } of this.#tasks.splice(0)) reject(new Error("the encoder was closed"));
  }

  /** Begins with the oldest task, which stays at the head until it is done. */
  #next(): void {
    if (this.#callOff || this.#closed || this.#tasks.length === 0) return;
    const worker = this.#worker ??= this.#open();
    this.#callOff = this.#clock.after(1000 * this.#seconds, () => {
      this.#replace(worker, `took more than ${this.#seconds} s`);
    });
    worker.postMessage(this.#tasks[0].job);
  }

  #open(): Worker {
    const worker = this.#start();
    worker.onmessage = ({ data }: MessageEvent<EncoderAnswer>) => {
      this.#end((task) => "bytes" in data ? task.resolve(data.bytes) : task.reject(new Error(data.error)));
    };
    worker.onerror = (event) => {
      event.preventDefault(); // else it ends this process, too
      this.#replace(worker, `ended (${event.message})`);
    };
    return worker;
  }

  /** Gives up a worker, and the task it was at if there is one. */
  #replace(worker: Worker, why: string): void {
    worker.terminate();
    this.#worker = undefined;
    this.#end(({ job, reject }) => reject(new Error(`the encoder's worker ${why} at a ${job.format}`)));
  }

  /** Ends the task under way, and goes on to the next. */
  #end(settle: (task: Task) => void): void {
    if (!this.#callOff) return;
    this.#callOff();
    this.#callOff = undefined;
    settle(this.#tasks.shift()!);
    this.#next();
  }
}

function startWorker(): Worker {
  return new Worker(new URL("./encoder_worker.ts", import.meta.url), { type: "module", name: "encoder" });
}
