/**
 * Response bodies with a timeout for stalled readers. `Deno.serve` waits for a reader indefinitely, and keeps a body that is
 * passed as one buffer in memory until then.
 *
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";

/** Chunk size in bytes. Smaller bodies are sent whole, since they fit into the system's buffers. */
const CHUNK = 65_536;

/** Seconds after which a stalled reader is disconnected. */
export const PATIENCE_SECONDS = 60;

/**
 * Body sent in chunks. A reader that takes none for a minute is disconnected, and the bytes are freed.
 *
 * @returns the body and its Content-Length header
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
      // A copy, since a view would keep the whole buffer alive.
      const chunk = rest.slice(0, CHUNK);
      rest = rest.subarray(CHUNK);
      callOff = clock.after(1000 * PATIENCE_SECONDS, () => {
        rest = undefined;
        controller.close(); // shorter than Content-Length, so Deno closes the connection; `error` would print a message
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
