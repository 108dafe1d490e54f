import assert from "node:assert/strict";
import { PATIENCE_SECONDS, patientBody } from "../../../server/http/patient_body.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { harness } from "../../support/server/harness.ts";
import { soon } from "../../support/server/process.ts";

function bytes(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => i * 7 + i / 1000);
}

Deno.test("a small body is handed over whole, a large one in chunks, with its length", async () => {
  const small = bytes(65_536);
  assert.equal(patientBody(small).body, small);
  const clock = new FakeClock();
  const large = bytes(200_000);
  const { body, headers } = patientBody(large, clock);
  assert.deepEqual(headers, { "Content-Length": "200000" });
  assert.ok(body instanceof ReadableStream);
  const taken: Uint8Array[] = [];
  for await (const chunk of body) {
    taken.push(chunk);
    clock.advance(999 * PATIENCE_SECONDS); // slow, and yet reading
  }
  assert.deepEqual(taken.map(({ length }) => length), [65_536, 65_536, 65_536, 3392]);
  assert.ok(taken.every(({ buffer }) => buffer.byteLength <= 65_536), "no chunk keeps the whole");
  assert.deepEqual(new Uint8Array(await new Blob(taken as Uint8Array<ArrayBuffer>[]).arrayBuffer()), large);
  assert.equal(clock.pending, 0);
});

Deno.test("a reader who takes nothing for a minute gets no more, and one who goes leaves no timer", async () => {
  const clock = new FakeClock();
  const reader = (patientBody(bytes(200_000), clock).body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  clock.advance(1000 * PATIENCE_SECONDS);
  assert.deepEqual(await reader.read(), { done: true, value: undefined });
  const other = patientBody(bytes(200_000), clock).body as ReadableStream<Uint8Array>;
  for await (const _ of other) break;
  assert.equal(clock.pending, 0);
});

Deno.test("a reader who leaves in the very moment that it is handed a chunk leaves no timer", async () => {
  const clock = new FakeClock();
  const reader = (patientBody(bytes(200_000), clock).body as ReadableStream<Uint8Array>).getReader();
  let left: Promise<void> | undefined;
  // A promise looks for `then` in what it is resolved with: that runs within `enqueue`, as Deno's own reader may.
  Object.defineProperty(Object.prototype, "then", {
    configurable: true,
    get(this: unknown) {
      if (Object(this).value instanceof Uint8Array) left ??= reader.cancel();
      return undefined;
    },
  });
  try {
    await reader.read();
  } finally {
    Reflect.deleteProperty(Object.prototype, "then");
  }
  assert.ok(left, "it has left");
  await left;
  assert.equal(clock.pending, 0, "a timer would close a stream that is closed, and so end the process");
});

Deno.test("the connection of a reader who takes nothing is cut, short of the length", async () => {
  const clock = new FakeClock();
  const length = 2 ** 26; // more than the system's buffers hold
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => {
    const { body, headers } = patientBody(new Uint8Array(length), clock);
    return new Response(body, { headers });
  });
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
  try {
    await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: here\r\n\r\n"));
    // It is stuck when no chunk is taken any more: each one begins the wait anew.
    let waits = -1;
    const idle = () => new Promise((resolve) => setTimeout(resolve, 200));
    const count = clock.after.bind(clock);
    let calls = 0;
    clock.after = (...args) => {
      calls++;
      return count(...args);
    };
    while (waits !== calls || clock.pending === 0) {
      waits = calls;
      await idle();
    }
    clock.advance(1000 * PATIENCE_SECONDS);
    let received = 0;
    const buffer = new Uint8Array(2 ** 20);
    const readAll = async () => {
      for (let count; (count = await connection.read(buffer)) !== null;) received += count;
    };
    await soon(readAll().catch(() => {}), "the end of the connection");
    assert.ok(received > 65_536 && received < length, `${received} bytes`);
  } finally {
    connection.close();
    await server.shutdown();
  }
});

Deno.test("pictures and lists of them are handed over so", async () => {
  const { ask } = harness();
  const json = await ask("/generate?class=cat&count=64&seed=1&format=json");
  const openai = await ask("/v1/images/generations", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ prompt: "a cat", n: 64, seed: 1 }),
  });
  for (const answer of [json, await ask("/generate?class=cat&count=64&seed=1&scale=2"), openai]) {
    assert.equal(answer.status, 200);
    const length = Number(answer.headers.get("Content-Length"));
    const sizes: number[] = [];
    for await (const { length } of answer.body!) sizes.push(length);
    assert.ok(sizes.length > 1 && Math.max(...sizes) === 65_536, `${sizes}`);
    assert.equal(sizes.reduce((sum, size) => sum + size), length);
  }
});
