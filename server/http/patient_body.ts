/**
 * Response bodies with a timeout for readers that stall. `Deno.serve` waits for a reader for ever, and
 * of bytes handed to it whole it keeps all of them.
 *
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";

/** Bytes that are handed over at once. A body of no more is handed over whole: the system's buffers hold as much. */
const CHUNK = 65_536;

/** Seconds after which a reader who takes nothing is given up. */
export const PATIENCE_SECONDS = 60;

/**
 * A body that is handed over in chunks. A reader who takes none for a minute is given up: the connection is cut, and
 * the bytes are freed.
 *
 * @returns the body, and the headers that tell its length
 */
export function patientBody(
  bytes: Uint8Array<ArrayBuffer>,
  clock: Clock = systemClock,
): {
  readonly body: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer>;
  readonly headers: Record<string, string>;
} {
  const headers = { "Content-Length": String(bytes.length) };
  if (bytes.length <= CHUNK) return { body: bytes, headers };
  let rest: Uint8Array<ArrayBuffer> | undefined = bytes;
  let callOff = () => {};
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      callOff();
      if (!rest) return;
      // A copy: a view would keep all of it.
      const chunk = rest.slice(0, CHUNK);
      rest = rest.subarray(CHUNK);
      callOff = clock.after(1000 * PATIENCE_SECONDS, () => {
        rest = undefined;
        controller.close(); // short of its length, so the connection is cut; Deno would print an error
      });
      controller.enqueue(chunk); // may call `cancel` at once
      if (rest?.length !== 0) return;
      callOff();
      rest = undefined;
      controller.close();
    },
    cancel() {
      callOff();
      rest = undefined;
    },
  }, { highWaterMark: 0 });
  return { body, headers };
}
