/**
 * Event files of TensorBoard, appended to as a run goes.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { appendAtomically } from "../files/append.ts";
import { fileProblem, makeDirectory } from "../files/durable.ts";
import { type EventTime, restartEvent, summaryEvent, type SummaryValue, versionEvent } from "./event.ts";
import { message } from "./protobuf.ts";
import { frameRecord } from "./record.ts";

/** Beginning of the names of event files, by which TensorBoard finds them. */
const PREFIX = "events.out.tfevents.";

/** Options of {@linkcode EventFile.create}. */
export interface EventFileOptions {
  /** Optimizer steps done before, of a run that continues: later events of earlier files no longer count. */
  readonly resumedFrom: number;
  /** Called when events cannot be written. */
  readonly onWarning: (message: string) => void;
}

/** A file of one process; a run that continues starts another, as readers expect. */
export class EventFile {
  /** Path of the file. */
  readonly path: string;
  readonly #onWarning: (message: string) => void;
  /** Records not yet written. */
  #pending: Uint8Array[] = [];
  #failing = false;

  private constructor(path: string, onWarning: (message: string) => void) {
    this.path = path;
    this.#onWarning = onWarning;
  }

  /**
   * Creates a file in a directory, and the directory if missing.
   *
   * @throws {CheckpointError} if it cannot be written
   */
  static async create(directory: string, { resumedFrom, onWarning }: EventFileOptions): Promise<EventFile> {
    const wallTime = Date.now() / 1000;
    const first = [frameRecord(versionEvent(wallTime))];
    // Events of the step that the checkpoint is of remain.
    if (resumedFrom > 0) first.push(frameRecord(restartEvent({ wallTime, step: resumedFrom + 1 })));
    try {
      await makeDirectory(directory);
      // Read in the order of their names.
      const name = `${PREFIX}${String(Math.floor(wallTime)).padStart(10, "0")}.denoise.${Deno.pid}`;
      for (let n = 0;; n++) {
        const path = join(directory, `${name}.${n}`);
        try {
          await Deno.writeFile(path, message(...first), { createNew: true });
          return new EventFile(path, onWarning);
        } catch (error) {
          if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
        }
      }
    } catch (error) {
      throw new CheckpointError(`cannot write event files in ${directory}: ${fileProblem(error)}`);
    }
  }

  /** Adds an event, which {@linkcode flush} writes. */
  add(time: EventTime, values: readonly SummaryValue[]): void {
    this.#pending.push(frameRecord(summaryEvent(time, values)));
  }

  /** Writes all events. If that fails, it warns, and writes them the next time. */
  async flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    try {
      await appendAtomically(this.path, message(...this.#pending));
      this.#pending = [];
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#onWarning(`cannot write ${this.path}, will try again: ${fileProblem(error)}`);
      this.#failing = true;
    }
  }
}

/**
 * Name of an event file in a directory, if there is any.
 *
 * @throws {CheckpointError} if the directory cannot be read
 */
export async function eventFileIn(directory: string): Promise<string | undefined> {
  try {
    for await (const { name } of Deno.readDir(directory)) if (name.startsWith(PREFIX)) return name;
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new CheckpointError(`${directory}: cannot be read: ${fileProblem(error)}`);
  }
}
