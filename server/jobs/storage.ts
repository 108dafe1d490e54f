/**
 * Limits of the jobs' storage: its size, the time that jobs are kept, and writes that wait for a full or failing disk.
 *
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import type { ServerContext } from "../http/context.ts";
import type { JobStore, StoredJob } from "./store.ts";

/** Longest seconds between attempts to write. */
const LONGEST_PAUSE = 30;
/** Seconds between looks for jobs whose time is over. */
const SWEEP_SECONDS = 60;

/** Options of {@linkcode JobStorage} that tests replace. */
export interface JobStorageOptions {
  readonly clock?: Clock;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** The jobs' store, within its limits. */
export class JobStorage {
  readonly store: JobStore;
  readonly now: () => number;
  readonly #context: Pick<ServerContext, "settings" | "log" | "metrics">;
  readonly #clock: Clock;
  #trouble: string | undefined;
  #failures = 0;
  #retry: Promise<void> | undefined;
  #callOffSweep = () => {};
  #deleting = false;
  #closed = false;

  constructor(
    store: JobStore,
    context: Pick<ServerContext, "settings" | "log" | "metrics">,
    { clock = systemClock, now = Date.now }: JobStorageOptions = {},
  ) {
    this.store = store;
    this.now = now;
    this.#context = context;
    this.#clock = clock;
    this.#sweepOften();
  }

  /** Why nothing can be stored at present. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Makes room for an image, if need be by forgetting the jobs that ended first; false if there is none. */
  hasRoom(bytes: number): boolean {
    const most = this.#context.settings.jobStorage * 2 ** 20;
    let used = this.store.bytes();
    while (used + bytes > most) {
      const oldest = this.store.oldestEnded("all");
      if (!oldest) return false;
      used -= oldest.bytes;
      this.#forget(oldest, "to make room");
    }
    return true;
  }

  /**
   * Writes, again and again until it succeeds: what was drawn is not lost to a full disk.
   *
   * @param signal gives up when it is aborted
   */
  async write(signal: AbortSignal, write: () => void): Promise<void> {
    while (!this.#closed && !signal.aborted) {
      try {
        write();
        if (this.#trouble !== undefined) this.#context.log.info("jobs can be stored again");
        this.#trouble = undefined;
        this.#failures = 0;
        return;
      } catch (error) {
        await this.#failed(error);
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#callOffSweep();
    this.store.close();
  }

  async #failed(error: unknown): Promise<void> {
    const { log, metrics } = this.#context;
    metrics.jobStorageFailed();
    if (this.#trouble === undefined) log.error("jobs cannot be stored; trying again", {}, error);
    this.#trouble = `the images cannot be stored: ${(error as Error).message}`;
    this.#retry ??= this.#pause();
    await this.#retry;
  }

  /** The pause before the next attempt, the same for all that wait; longer each time. */
  async #pause(): Promise<void> {
    const seconds = Math.min(LONGEST_PAUSE, 2 ** this.#failures++);
    await new Promise<void>((resolve) => this.#clock.after(1000 * seconds, resolve));
    this.#retry = undefined;
    if (this.#closed) return;
    try {
      this.store.emptyLog();
    } catch {
      // The next attempt to write tells.
    }
  }

  #sweepOften(): void {
    try {
      const before = this.now() - this.#context.settings.keepJobs * 3_600_000;
      let oldest = this.store.oldestEnded("settled");
      while (oldest && oldest.ended! < before) {
        this.#forget(oldest, "its time is over");
        oldest = this.store.oldestEnded("settled");
      }
      this.#deleteAll();
    } catch (error) {
      this.#context.log.error("jobs cannot be deleted; trying again", {}, error);
    }
    this.#callOffSweep = this.#clock.after(1000 * SWEEP_SECONDS, () => this.#sweepOften());
  }

  #forget(job: StoredJob, why: string): void {
    this.store.sweep(job);
    this.#context.log.info("job deleted", { job: job.id, why });
    this.#deleteAll();
  }

  /** Deletes swept jobs bit by bit, so that requests are answered in between. */
  #deleteAll(): void {
    if (this.#deleting) return;
    this.#deleting = true;
    const step = () => {
      try {
        if (!this.#closed && this.store.deleteSome()) {
          this.#clock.after(0, step);
          return;
        }
      } catch (error) {
        this.#context.log.error("jobs cannot be deleted; trying again", {}, error);
      }
      this.#deleting = false;
    };
    this.#clock.after(0, step);
  }
}
