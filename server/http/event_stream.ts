/**
 * Server-sent events (HTML Standard, 9.2) for a reader of any speed.
 *
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import type { EventQueue } from "./event_queue.ts";

/** Seconds of silence after which a comment shows that the connection lives. */
const HEARTBEAT_SECONDS = 15;

/** One event as text. */
export function eventText(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** How {@linkcode eventStream} sends. */
export interface EventStreamOptions<T> {
  /** An event as text, made when the reader is ready for it. */
  readonly render: (event: T) => Promise<string>;
  /** The text that ends the stream when `render` fails. */
  readonly onError: (error: unknown) => string;
  /** Called when the reader has gone, or nothing more is sent to it. */
  readonly onCancel: () => void;
  readonly clock?: Clock;
}

/**
 * The body of an answer that sends what is in `queue` until its end. An event leaves the queue when the reader has
 * taken the one before it, so that nothing gathers anywhere else.
 */
export function eventStream<T>(
  queue: EventQueue<T>,
  { render, onError, onCancel, clock = systemClock }: EventStreamOptions<T>,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    let callOff = () => {};
    const silence = new Promise<"silence">((resolve) => {
      callOff = clock.after(1000 * HEARTBEAT_SECONDS, () => resolve("silence"));
    });
    const first = await Promise.race([queue.ready(), silence]);
    callOff();
    if (first === "silence") {
      controller.enqueue(encoder.encode(": still here\n\n"));
      return;
    }
    const event = queue.take();
    if (event === undefined) {
      controller.close();
      return;
    }
    try {
      controller.enqueue(encoder.encode(await render(event)));
    } catch (error) {
      controller.enqueue(encoder.encode(onError(error)));
      controller.close();
      onCancel();
    }
  };
  return new ReadableStream({ pull, cancel: onCancel }, { highWaterMark: 0 });
}
