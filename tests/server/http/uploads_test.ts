import assert from "node:assert/strict";
import { Hono } from "hono";
import { limitBody, MAX_VALUES, readJson, takeBody } from "../../../server/http/body.ts";
import type { AppEnv } from "../../../server/http/request.ts";
import { harness } from "../../support/server/harness.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";

const EDITS = "/v1/images/edits";
const MIB = 2 ** 20;

/** An upload that sends `bytes` and then nothing more until it is cancelled. */
function stalled(bytes: number): { readonly body: ReadableStream; readonly cancelled: Promise<void> } {
  const { promise: cancelled, resolve } = Promise.withResolvers<void>();
  let left = bytes;
  const body = new ReadableStream({
    pull(controller) {
      if (left === 0) return new Promise(() => {});
      const length = Math.min(left, 2 ** 16);
      left -= length;
      controller.enqueue(new Uint8Array(length));
    },
    cancel: () => resolve(),
  }, { highWaterMark: 0 });
  return { body, cancelled };
}

const turn = () => new Promise((resolve) => setTimeout(resolve));

Deno.test("an upload has 30 seconds, other bodies ten", async () => {
  const clock = new FakeClock();
  const { ask } = harness({ body: { clock } });
  const { body, cancelled } = stalled(1000);
  let status = 0;
  const answer = ask(EDITS, { method: "POST", body }).then((response) => status = response.status);
  while (clock.pending === 0) await turn();
  clock.advance(29_999);
  await turn();
  assert.equal(status, 0);
  clock.advance(1);
  assert.equal(await answer, 408);
  await cancelled;
});

Deno.test("the bytes of uploads that are being received are bounded; small bodies always fit", async () => {
  const clock = new FakeClock();
  const { ask } = harness({ body: { clock } });
  // 16 of 4 MiB fill it, less a byte each so that none is too large itself.
  const open = Array.from({ length: 16 }, () => stalled(4 * MIB));
  const slow = open.map(({ body }) => ask(EDITS, { method: "POST", body }));
  while (clock.pending < 16) await turn();
  for (let i = 0; i < 2000; i++) await turn(); // until all that was sent has been read
  const refused = await ask(EDITS, { method: "POST", body: new Uint8Array(MIB) });
  assert.deepEqual([refused.status, refused.headers.get("Retry-After")], [503, "5"]);
  assert.equal((await refused.json()).error.code, "uploads_busy");
  const small = await ask(EDITS, { method: "POST", body: new Uint8Array(1000) });
  assert.equal(small.status, 415);
  clock.advance(30_000);
  assert.deepEqual(new Set((await Promise.all(slow)).map(({ status }) => status)), new Set([408]));
  const after = await ask(EDITS, { method: "POST", body: new Uint8Array(MIB) });
  assert.equal(after.status, 415, "their bytes are free again");
});

Deno.test("a body that has been read is not kept until its request is answered", async () => {
  const app = new Hono<AppEnv>();
  app.use(limitBody({}, { paths: [], bytes: 0 }));
  app.post("/form", async (c) => {
    const { length } = await takeBody(c);
    return c.json([length, (await c.req.arrayBuffer()).byteLength]);
  });
  app.post("/json", async (c) => {
    const value = await readJson(c);
    return c.json([value, (await c.req.arrayBuffer()).byteLength]);
  });
  const headers = { "Content-Type": "application/json" };
  const answers = await Promise.all(["/form", "/json"].map(async (path) => {
    const response = await app.request(path, { method: "POST", body: "[1, 2]", headers });
    return await response.json();
  }));
  assert.deepEqual(answers, [[6, 0], [[1, 2], 0]]);
});

Deno.test("an upload of more values than a request has is refused unparsed", async () => {
  const { ask } = harness();
  const send = async (images: string) => {
    const body = `{"prompt":"a cat","images":${images}}`;
    const answer = await ask(EDITS, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
    });
    return (await answer.json()).error.message as string;
  };
  for (const piece of ["{},", "1,", "["]) {
    const many = `[${piece.repeat(4 * MIB / piece.length - 100)}`; // not even JSON
    assert.equal(
      await send(many),
      `the body's JSON has too many values (at most ${MAX_VALUES} commas and opening brackets)`,
    );
  }
  assert.match(await send(`[${"1,".repeat(MAX_VALUES - 10)}1]`), /^images: expected one image/);
});
