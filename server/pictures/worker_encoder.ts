/**
 * Encoder on the main thread: sends pictures to its worker, one at a time, in fair order.
 *
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import type { Asker, Encoder, PictureJob } from "./encoder.ts";
import { EncodingOrder, pixelsOf } from "./encoding_order.ts";
import type { EncoderAnswer } from "./encoder_worker.ts";
import { clientGone, JobError } from "../queue/job.ts";

/** Options of {@linkcode WorkerEncoder}. */
export interface WorkerEncoderOptions {
  /** Maximum number of waiting requests. Default 256. */
  readonly waiting?: number;
  /** Timeout of one picture in seconds. Default 60. */
  readonly seconds?: number;
  readonly clock?: Clock;
  /** Starts a worker. */
  readonly start?: () => Worker;
}

/** Timeout of a cancelled picture in milliseconds; starting a new worker takes about as long. */
const ABANDONED = 1000;

/** The pictures of one request. */
interface Task {
  readonly pictures: readonly PictureJob[];
  readonly files: Uint8Array<ArrayBuffer>[];
  readonly resolve: (files: Uint8Array<ArrayBuffer>[]) => void;
  readonly reject: (error: Error) => void;
  /** Removes the listeners of signal and deadline. */
  readonly release: () => void;
}

/** The picture being encoded. */
interface Current {
  readonly task: Task;
  readonly pixels: number;
  /** Cancels its timeout. */
  callOff: () => void;
}

/** Encodes in a worker, which is replaced when it fails or times out. */
export class WorkerEncoder implements Encoder {
  readonly #waiting: number;
  readonly #seconds: number;
  readonly #clock: Clock;
  readonly #start: () => Worker;
  /** Every task that has not ended. */
  readonly #tasks = new EncodingOrder<Task>();
  #worker: Worker | undefined;
  #current: Current | undefined;
  #closed = false;

  constructor(
    { waiting = 256, seconds = 60, clock = systemClock, start = startWorker }: WorkerEncoderOptions = {},
  ) {
    this.#waiting = waiting;
    this.#seconds = seconds;
    this.#clock = clock;
    this.#start = start;
    this.#worker = this.#open(); // now, so that it is ready for the first picture
  }

  /**
   * Encodes each picture of a request as a file, in order.
   *
   * @throws {JobError} 499 when the client disconnects, 503 when the queue is full, 504 past the deadline
   * @throws {Error} when the worker fails or times out; it is replaced
   */
  async encode(
    pictures: readonly PictureJob[],
    { client, signal, seconds }: Asker,
  ): Promise<Uint8Array<ArrayBuffer>[]> {
    if (this.#closed) throw new Error("the encoder is closed");
    if (signal.aborted) throw clientGone();
    if (this.#tasks.size >= this.#waiting) {
      const detail = `the encoder's queue is full (at most ${this.#waiting} waiting requests)`;
      throw new JobError(503, "encoder_busy", detail, 2);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array<ArrayBuffer>[]>();
    const onAbort = () => this.#abandon(task, clientGone());
    const callOff = this.#clock.after(
      1000 * seconds,
      () => this.#abandon(task, new JobError(504, "timeout", "drawn, but not encoded in time")),
    );
    signal.addEventListener("abort", onAbort);
    const release = () => {
      callOff();
      signal.removeEventListener("abort", onAbort);
    };
    const task: Task = { pictures, files: [], resolve, reject, release };
    this.#tasks.enter(task, client, pictures.reduce((sum, picture) => sum + pixelsOf(picture), 0));
    this.#next();
    return await promise;
  }

  close(): void {
    this.#closed = true;
    this.#worker?.terminate();
    this.#current?.callOff();
    for (const task of [...this.#tasks]) this.#forget(task).reject(new Error("the encoder was closed"));
  }

  /** Starts encoding a picture of the task whose turn it is. */
  #next(): void {
    const task = this.#tasks.first((task) => pixelsOf(nextPicture(task)));
    if (this.#current || this.#closed || !task) return;
    const worker = this.#worker ??= this.#open();
    const callOff = this.#clock.after(1000 * this.#seconds, () => {
      this.#replace(worker, `took more than ${this.#seconds} s`);
    });
    const picture = nextPicture(task);
    this.#current = { task, pixels: pixelsOf(picture), callOff };
    worker.postMessage(picture);
  }

  #open(): Worker {
    const worker = this.#start();
    worker.onmessage = ({ data }: MessageEvent<EncoderAnswer>) => {
      if (this.#worker !== worker) return; // a late message of a replaced worker
      this.#end((task) => {
        if ("error" in data) this.#forget(task).reject(new Error(data.error));
        else if (task.files.push(data.bytes) === task.pictures.length) this.#forget(task).resolve(task.files);
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
    worker.terminate();
    this.#worker = undefined;
    this.#end((task) => {
      const { format } = nextPicture(task);
      this.#forget(task).reject(new Error(`the encoder's worker ${why} at a ${format}`));
    });
  }

  /** Ends the current picture, and starts the next. */
  #end(settle: (task: Task) => void): void {
    if (!this.#current) return;
    const { task, pixels, callOff } = this.#current;
    callOff();
    this.#current = undefined;
    if (this.#tasks.has(task)) {
      this.#tasks.charge(task, pixels);
      settle(task);
    }
    this.#next();
  }

  /** Cancels a task; if the worker is encoding one of its pictures, it has {@linkcode ABANDONED} ms to finish. */
  #abandon(task: Task, error: JobError): void {
    this.#forget(task).reject(error);
    const [current, worker] = [this.#current, this.#worker!];
    if (current?.task !== task) return;
    current.callOff();
    current.callOff = this.#clock.after(ABANDONED, () => this.#replace(worker, "was stopped"));
  }

  #forget(task: Task): Task {
    this.#tasks.leave(task);
    task.release();
    return task;
  }
}

function nextPicture({ pictures, files }: Task): PictureJob {
  return pictures[files.length]!; // a task ends with its last file
}

function startWorker(): Worker {
  return new Worker(new URL("./encoder_worker.ts", import.meta.url), { type: "module", name: "encoder" });
}
