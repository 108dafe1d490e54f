/**
 * The images of a job as a zip archive.
 *
 * @module
 */
import { makeZip, predictLength } from "client-zip";
import { type Clock, systemClock } from "../clock.ts";
import { PATIENCE_SECONDS } from "../http/patient_body.ts";
import type { JobStore, StoredJob } from "./store.ts";

/** An archive that is made as it is read, so that no more than one image is in memory. */
export interface ZipAnswer {
  readonly body: ReadableStream<Uint8Array>;
  /** Bytes of the archive. */
  readonly length: number;
}

/** Archives the images that are stored now. A reader that takes nothing for a minute is disconnected. */
export function zipImages(job: StoredJob, store: JobStore, clock: Clock = systemClock): ZipAnswer {
  const lastModified = new Date(job.created);
  const digits = String(job.count - 1).length;
  const entries = store.imageSizes(job).map(({ position, size }) => ({
    position,
    facts: { name: `${String(position).padStart(digits, "0")}.png`, size, lastModified },
  }));
  const length = Number(predictLength(entries.map(({ facts }) => facts)));
  const files = entries[Symbol.iterator]().map(({ position, facts }) => {
    const input = store.image(job, position);
    if (!input) throw new Error(`${job.id} was deleted`);
    return { ...facts, input };
  });
  const reader = makeZip(files).getReader();
  let callOff = () => {};
  const stop = () => {
    callOff();
    reader.cancel().catch(() => {}); // nothing more is read
  };
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      callOff();
      // Closed before its length, Deno closes the connection; `error` would print a message.
      const giveUp = () => {
        stop();
        controller.close();
      };
      try {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        callOff = clock.after(1000 * PATIENCE_SECONDS, giveUp);
        controller.enqueue(value);
      } catch {
        giveUp(); // deleted meanwhile
      }
    },
    cancel: stop,
  }, { highWaterMark: 0 });
  return { body, length };
}
