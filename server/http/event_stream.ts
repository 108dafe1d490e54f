/**
 * Server-sent events (HTML Standard, 9.2) for a reader of any speed.
 *
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import type { EventQueue } from "./event_queue.ts";
import { PATIENCE_SECONDS } from "./patient_body.ts";

/** Seconds without an event after which a comment is sent as a heartbeat. */
const HEARTBEAT_SECONDS = 15;

/** Serializes one event. */
export function eventText(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Options of {@linkcode eventStream}. */
export interface EventStreamOptions<T> {
  /** Serializes an event; called when the reader is ready for it. */
  readonly render: (event: T) => Promise<string>;
  /** Last text of the stream, when `render` fails. */
  readonly onError: (error: unknown) => string;
  /** Called when the reader disconnects or times out. */
  readonly onCancel: () => void;
  readonly clock?: Clock;
}

/**
 * Response body that sends the events of `queue` until its end. An event leaves the queue when the reader has taken the
 * previous one, so that nothing is buffered elsewhere. A reader that takes nothing for a minute is disconnected, so that
 * nothing more is drawn or kept for it.
 */
export function eventStream<T>(
  queue: EventQueue<T>,
  { render, onError, onCancel, clock = systemClock }: EventStreamOptions<T>,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let giveUp = () => {};
  let over = false;
  const send = (controller: ReadableStreamDefaultController<Uint8Array>, text: string) => {
    if (over) return; // cancelled during `render`
    giveUp = clock.after(1000 * PATIENCE_SECONDS, () => {
      over = true;
      controller.close();
      onCancel();
    });
    controller.enqueue(encoder.encode(text)); // may call `cancel` at once
  };
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    giveUp();
    let callOff = () => {};
    const silence = new Promise<"silence">((resolve) => {
      callOff = clock.after(1000 * HEARTBEAT_SECONDS, () => resolve("silence"));
    });
    const first = await Promise.race([queue.ready(), silence]);
    callOff();
    if (first === "silence") {
      send(controller, ": still here\n\n");
      return;
    }
    const event = queue.take();
    if (event === undefined) {
      controller.close();
      return;
    }
    try {
      send(controller, await render(event));
    } catch (error) {
      if (over) return;
      controller.enqueue(encoder.encode(onError(error)));
      if (over) return;
      controller.close();
      onCancel();
    }
  };
  const cancel = () => {
    over = true;
    giveUp();
    onCancel();
  };
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}
