import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_BODY } from "../../../server/http/body.ts";
import { converse, overSocket, type RawAnswer } from "../../support/server/raw.ts";

const PATHS = [
  ...[
    "/",
    "/page/page.css",
    "/page/settings.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/docs",
    "/docs/style.css",
  ],
  ...["/openapi.json", "/classes", "/models", "/generate", "/generate/stream", "/admin/reload", "/nothing"],
  ...["/v1/images/generations", "/v1/images/edits", "/v1/models", "/v1/models/denoise", "/v1/nothing"],
];
const FIELDS = [
  ...[
    "class",
    "count",
    "steps",
    "sampler",
    "spacing",
    "guidance",
    "negative_class",
    "guidance_rescale",
    "guidance_interval",
    "eta",
    "variance",
    "churn",
    "seed",
    "scale",
    "format",
    "every",
  ],
  ...[
    "prompt",
    "image",
    "mask",
    "images",
    "strength",
    "resamplings",
    "jump",
    "queue_events",
    "n",
    "size",
    "stream",
    "partial_images",
    "response_format",
    "output_format",
    "model",
  ],
];
/** Headers that an answer may have; whatever else came would have been put there by a request. */
const HEADERS = new Set([
  ...["content-type", "content-length", "transfer-encoding", "date", "connection", "vary", "allow", "etag"],
  ...[
    "cache-control",
    "retry-after",
    "www-authenticate",
    "accept-post",
    "accept-encoding",
    "x-accel-buffering",
  ],
  ...["x-request-id", "x-seed", "x-model", "x-steps", "x-time", "server-timing", "content-disposition"],
  ...["content-security-policy", "cross-origin-opener-policy", "cross-origin-resource-policy"],
  ...["referrer-policy", "x-content-type-options", "traceparent", "tracestate"],
]);

/** Small numbers and names that mean something, now and then all that a string can hold. */
const value = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom("cat", "any", "1", "2", "3", "0", "-1", "json", "gif", "ddpm", "64x64", "url"),
  },
  fc.oneof(fc.integer(), fc.double()).map(String),
  fc.constantFrom("\r\nX-Evil: 1", "a\nX-Evil: 1", "\0", "'\"<>", "../..", "x".repeat(3000)),
  fc.string({ unit: "binary", maxLength: 12 }),
);
const field = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...FIELDS) }, fc.string({ maxLength: 6 }));
const query = fc.array(fc.tuple(field, value), { maxLength: 4 }).map((pairs) =>
  pairs.map(([name, value]) => `${escaped(name)}=${escaped(value)}`).join("&")
);
const headerValue = fc.oneof(
  fc.constantFrom(
    "gzip",
    "*/*",
    "image/webp",
    "application/json",
    "cross-site",
    "null",
    "http://evil.example",
    "evil.example",
  ),
  fc.string({ maxLength: 20 }),
);
const header = fc.tuple(
  fc.constantFrom(
    ...[
      "Accept",
      "Authorization",
      "Content-Type",
      "If-None-Match",
      "Origin",
      "Sec-Fetch-Site",
      "X-Request-Id",
    ],
    ...[
      "X-Forwarded-For",
      "traceparent",
      "tracestate",
      "Range",
      "Cookie",
      "Content-Encoding",
      "Host",
      "Expect",
    ],
  ),
  headerValue,
);
const json = fc.dictionary(field, fc.oneof(fc.jsonValue({ maxDepth: 3 }), value), {
  maxKeys: 5,
  noNullPrototype: true,
});
const body = fc.oneof(
  { weight: 3, arbitrary: json.map((fields) => JSON.stringify({ prompt: "a cat", ...fields })) },
  { weight: 3, arbitrary: fc.constant("") },
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constant("x".repeat(MAX_BODY + 1)),
);

/** A request as text: its head in ASCII, as most clients send it, and a body of as many bytes as it says. */
const request = fc.record({
  method: fc.constantFrom("GET", "GET", "GET", "POST", "POST", "PUT", "OPTIONS", "DELETE", "PATCH"),
  path: fc.constantFrom(...PATHS),
  query,
  headers: fc.array(header, { maxLength: 4 }),
  body,
});

Deno.test("any request to any route: no 5xx but 503, refusals are problems, nothing of it becomes a header", async () => {
  await overSocket({}, async ({ log }, port) => {
    await fc.assert(
      fc.asyncProperty(request, async ({ method, path, query, headers, body }) => {
        const bytes = latin1(body);
        const lines = headers.map(([name, value]) => `${name}: ${value.replace(/[^\x20-\x7e]/g, "?")}\r\n`);
        if (!headers.some(([name]) => name === "Host")) lines.push("Host: localhost\r\n");
        if (!headers.some(([name]) => name === "Content-Type")) {
          lines.push("Content-Type: application/json\r\n");
        }
        const text = `${method} ${path}?${query} HTTP/1.1\r\n${lines.join("")}` +
          `Content-Length: ${bytes.length}\r\nConnection: close\r\n\r\n${bytes}`;
        const answers = (await converse(port, text)).filter(({ status }) => status !== 100);
        assert.equal(answers.length, 1);
        check(path, answers[0]);
      }),
      { seed: 10, numRuns: 400 },
    );
    assert.deepEqual(log.filter(({ level }) => level === "error"), []);
  });
});

function check(path: string, { status, headers, body }: RawAnswer): void {
  assert.ok(status < 500 || status === 503, `${status} ${body}`);
  const value = (name: string) => headers.find(([one]) => one === name)?.[1];
  for (const [name, value] of headers) {
    assert.ok(HEADERS.has(name), name);
    assert.ok(name.length + value.length < 1000, name);
  }
  // Two Host headers are refused before the application is asked.
  if (value("x-request-id") === undefined) {
    assert.deepEqual([status, body], [400, ""]);
    return;
  }
  assert.match(value("x-request-id")!, /^[\w.-]{1,64}$/);
  if (status < 400) return;
  assert.ok(body.length < 10_000, `${body.length} characters`);
  const answer = JSON.parse(body);
  // Without a valid host there is no address, so its path is unknown.
  if (/^\/v1(\/|$)/.test(path) && answer.type !== "urn:denoise:problem:bad_host") {
    assert.equal(value("content-type"), "application/json");
    assert.ok(answer.error.message.length > 0 && answer.error.code.length > 0);
  } else {
    assert.equal(value("content-type"), "application/problem+json");
    assert.deepEqual([answer.status, answer.type.startsWith("urn:denoise:problem:")], [status, true]);
  }
}

/** Percent-encodes any string; half a surrogate pair, which `encodeURIComponent` refuses, as a server may get it. */
function escaped(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text) : "%ED%A0%80";
}

/** Text in UTF-8, a character for each byte. */
function latin1(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}
