import assert from "node:assert/strict";
import {
  concat,
  END_HEADERS,
  END_STREAM,
  FRAME,
  frame,
  headerBlock,
} from "../../support/server/http2_frames.ts";
import { outcomeOf, PREFACE } from "../../support/server/http2_frames.ts";
import { overSocket } from "../../support/server/raw.ts";
import { until } from "../../support/until.ts";

type Field = readonly [name: string, value: string];

const WHOLE = END_HEADERS | END_STREAM;

/** The pseudo headers of a request. */
const asking = (path: string, { method = "GET", scheme = "http", authority = "localhost" } = {}): Field[] => [
  [":method", method],
  [":scheme", scheme],
  [":authority", authority],
  [":path", path],
];
const ASK = asking("/classes");
const POST: Field[] = [
  ...asking("/v1/images/generations", { method: "POST" }),
  ["content-type", "application/json"],
];

const request = (fields: readonly Field[], stream = 1, flags = WHOLE) =>
  frame(FRAME.headers, flags, stream, headerBlock(fields));
const number = (value: number) => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
};
const many = (count: number, make: (i: number) => Uint8Array) =>
  concat(...Array.from({ length: count }, (_, i) => make(i)));

/** Sends each after the preface, on a connection of its own, and checks that the server has taken no harm. */
async function run(
  attacks: Readonly<Record<string, Uint8Array>>,
  outcomes: readonly string[],
): Promise<void> {
  await overSocket({}, async ({ engine, context, log, ask }, port) => {
    for (const [what, sent] of Object.entries(attacks)) {
      const outcome = await outcomeOf(port, concat(PREFACE, sent));
      assert.ok(outcomes.includes(outcome), `${what}: ${outcome}`);
    }
    const { runner } = context;
    const idle = () => runner.state.waiting + runner.state.running + engine.batch.length === 0;
    await until("nothing drawn or waiting", idle);
    assert.deepEqual(log.filter(({ level, status }) => level !== "info" || Number(status) >= 500), []);
    assert.equal((await ask("/generate")).status, 200);
  });
}

Deno.test("HTTP/2: headers that no request may have end it, or all of the connection", async () => {
  const with_ = (...fields: Field[]) => request([...ASK, ...fields]);
  await run({
    "a name in capitals": with_(["X-A", "b"]),
    "a name with a blank": with_(["x y", "a"]),
    "an empty name": with_(["", "a"]),
    "a line break in a value": with_(["x", "a\r\nSet-Cookie: b"]),
    "a zero in a value": with_(["x", "a\0b"]),
    "a connection's header": with_(["connection", "close"]),
    "a transfer coding": with_(["transfer-encoding", "chunked"]),
    "TE": with_(["te", "gzip"]),
    "no path": request(ASK.slice(0, 3)),
    "an empty path": request(asking("")),
    "a line break in the path": request(asking("/a\r\nb")),
    "a path twice": with_([":path", "/"]),
    "a pseudo header after another header": request([["a", "b"], ...ASK]),
    "an unknown pseudo header": request([[":foo", "x"], ...ASK]),
    "an answer's pseudo header": request([[":status", "200"], ...ASK]),
    "a route in the authority": request(asking("/classes", { authority: "localhost/healthz?" })),
    "a body shorter than its length": concat(
      request([...POST, ["content-length", "16"]], 1, END_HEADERS),
      frame(FRAME.data, END_STREAM, 1, new Uint8Array(5)),
    ),
    "a body longer than its length": concat(
      request([...POST, ["content-length", "3"]], 1, END_HEADERS),
      frame(FRAME.data, END_STREAM, 1, new Uint8Array(16)),
    ),
  }, ["reset", "ended"]);
});

Deno.test("HTTP/2: frames that are none end the connection", async () => {
  await run({
    "no preface": new TextEncoder().encode("garbage, and more than a frame's head"),
    "HPACK that is none": frame(FRAME.headers, WHOLE, 1, new Uint8Array(7).fill(0xff)),
    "an index that does not exist": frame(FRAME.headers, WHOLE, 1, Uint8Array.of(0xbe)),
    "index 0": frame(FRAME.headers, WHOLE, 1, Uint8Array.of(0x80)),
    "a frame that is too long": frame(FRAME.headers, WHOLE, 1, new Uint8Array(20_000)),
    "a length that is a lie": frame(FRAME.data, 0, 1, new Uint8Array(), 0xffffff),
    "data for no stream": frame(FRAME.data, 0, 0, new Uint8Array(3)),
    "data before headers": frame(FRAME.data, END_STREAM, 1, new Uint8Array(3)),
    "a server's stream": request(ASK, 2),
    "headers for no stream": request(ASK, 0),
    "a stream from before": concat(request(ASK, 5), request(ASK, 3)),
    "a window that grows by nothing": frame(FRAME.window, 0, 0, number(0)),
    "a window that is too large": frame(FRAME.window, 0, 0, number(0x7fffffff)),
    "a push": frame(FRAME.push, END_HEADERS, 1, concat(number(2), headerBlock(ASK))),
    "settings of 5 bytes": frame(FRAME.settings, 0, 0, new Uint8Array(5)),
    "a window of 2^32 - 1": frame(FRAME.settings, 0, 0, Uint8Array.of(0, 4, 255, 255, 255, 255)),
    "a ping of 3 bytes": frame(FRAME.ping, 0, 0, new Uint8Array(3)),
    "the rest of no headers": frame(FRAME.continuation, END_HEADERS, 1, headerBlock(ASK)),
    "another frame within headers": concat(
      frame(FRAME.headers, END_STREAM, 1, headerBlock(ASK)),
      frame(FRAME.ping, 0, 0, new Uint8Array(8)),
    ),
    "the reset of no stream": frame(FRAME.reset, 0, 7, number(8)),
  }, ["ended"]);
});

Deno.test("HTTP/2: floods are ended, or answered like any other request", async () => {
  const long: Field[] = Array.from({ length: 60 }, () => ["x".repeat(100), "y".repeat(100)]);
  await run({
    "requests that are taken back": many(100, (i) =>
      concat(
        request(asking("/generate?steps=1000"), 2 * i + 3),
        frame(FRAME.reset, 0, 2 * i + 3, number(8)),
      )),
    "headers without an end": concat(
      frame(FRAME.headers, END_STREAM, 1, headerBlock(ASK)),
      many(200, () => frame(FRAME.continuation, 0, 1, headerBlock(long))),
    ),
    "pings": concat(many(2000, () => frame(FRAME.ping, 0, 0, new Uint8Array(8))), request(ASK)),
    "settings": concat(many(2000, () => frame(FRAME.settings, 0, 0)), request(ASK)),
    "empty data": concat(
      request(POST, 1, END_HEADERS),
      many(2000, () => frame(FRAME.data, 0, 1)),
      frame(FRAME.data, END_STREAM, 1),
    ),
    "unknown frames": concat(many(200, () => frame(99, 0, 0, new Uint8Array(9))), request(ASK)),
  }, ["ended", "answer"]);
});

Deno.test("HTTP/2: the authority is the host, and a Host beside it counts, too", async () => {
  const statuses: [Field[], number][] = [
    [ASK, 200],
    [ASK.filter(([name]) => name !== ":authority"), 200],
    [asking("/classes", { authority: "evil.example" }), 421],
    [asking("/classes", { authority: "localhost@evil.example" }), 421],
    [[...ASK, ["host", "evil.example"]], 421],
    [[...ASK, ["host", "a b"]], 400],
  ];
  await overSocket({}, async ({ log }, port) => {
    for (const [fields, status] of statuses) {
      assert.equal(await outcomeOf(port, concat(PREFACE, request(fields))), "answer");
      assert.equal(log.at(-1)!.status, status, JSON.stringify(fields));
    }
  });
});
