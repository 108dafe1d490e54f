/** Raw HTTP/2 frames, valid or not (RFC 9113), which `node:http2` would not send. */
import { soon } from "./process.ts";

/** Frame types. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  window: 8,
  continuation: 9,
} as const;
/** Frame flags. */
export const END_STREAM = 1;
export const END_HEADERS = 4;

/** Start of a connection: the preface and empty settings. */
export const PREFACE = concat(
  new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(FRAME.settings, 0, 0),
);

/** Encodes a frame; `length` overrides that of the payload. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = new Uint8Array(),
  length = payload.length,
): Uint8Array {
  const head = new Uint8Array(9);
  const view = new DataView(head.buffer);
  view.setUint32(0, (length << 8 | type) >>> 0);
  head[4] = flags;
  view.setUint32(5, stream);
  return concat(head, payload);
}

/** Encodes a header block of literals without indexing (RFC 7541, 6.2.2). */
export function headerBlock(fields: readonly (readonly [name: string, value: string])[]): Uint8Array {
  const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
  return concat(...fields.flatMap(([name, value]) => [
    Uint8Array.of(0, name.length),
    latin1(name),
    Uint8Array.of(value.length),
    latin1(value),
  ]));
}

/** Concatenates bytes. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Sends bytes, and returns the outcome: `ended` for GOAWAY or a closed connection, `reset` or `answer` (HEADERS) for
 * stream 1.
 */
export async function outcomeOf(port: number, sent: Uint8Array): Promise<"ended" | "reset" | "answer"> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const writing = (async () => {
    for (let from = 0; from < sent.length;) from += await connection.write(sent.subarray(from));
  })().catch(() => {}); // A server that refuses stops reading.
  let received: Uint8Array = new Uint8Array();
  const buffer = new Uint8Array(65_536);
  try {
    while (true) {
      const length = await soon(connection.read(buffer).catch(() => null), "an answer to frames");
      if (length === null) return "ended";
      received = concat(received, buffer.subarray(0, length));
      while (received.length >= 9) {
        const view = new DataView(received.buffer, received.byteOffset);
        const whole = 9 + (view.getUint32(0) >>> 8);
        if (received.length < whole) break;
        const [type, stream] = [received[3], view.getUint32(5)];
        if (type === FRAME.goAway) return "ended";
        if (type === FRAME.reset && stream === 1) return "reset";
        if (type === FRAME.headers && stream === 1) return "answer";
        received = received.slice(whole);
      }
    }
  } finally {
    await writing;
  }
}
