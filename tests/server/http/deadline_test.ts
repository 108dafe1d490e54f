import assert from "node:assert/strict";
import type { Decoder } from "../../../server/pictures/decoder.ts";
import { decodeEdit } from "../../../server/pictures/decoding.ts";
import type { Encoder } from "../../../server/pictures/encoder.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { type Harness, harness } from "../../support/server/harness.ts";
import { makePng } from "../../support/synthetic.ts";
import { until } from "../../support/until.ts";

/** A server with a timeout of 30 seconds, whose decoder takes some of them. */
function slow(decoding: number) {
  const clock = new FakeClock();
  /** Seconds that decoder and encoder were given. */
  const left: [name: string, seconds: number][] = [];
  const decoder: Decoder = {
    decode(job, { seconds }) {
      left.push(["decoder", seconds]);
      clock.advance(1000 * decoding);
      return decodeEdit(job);
    },
    close() {},
  };
  const encoder: Encoder = {
    encode(pictures, { seconds }) {
      left.push(["encoder", seconds]);
      return Promise.resolve(pictures.map(() => Uint8Array.of(1)));
    },
    close() {},
  };
  const options = { engine: { automatic: undefined }, settings: { timeout: 30 }, schedulerClock: clock };
  return { clock, left, ...harness({ ...options, parts: { decoder, encoder } }) };
}

const PICTURE = `data:image/png;base64,${(await makePng(32, 32, () => [9, 9, 9])).toBase64()}`;

function edit({ ask }: Pick<Harness, "ask">, body?: BodyInit): Promise<Response> {
  return ask("/v1/images/edits", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: body ?? JSON.stringify({ prompt: "a cat", images: [{ image_url: PICTURE }], strength: 1 }),
  });
}

/** Lets tasks run until the engine has an image. */
async function drawing({ engine }: Pick<Harness, "engine">): Promise<void> {
  await until("an image in the batch", () => engine.batch.length > 0);
}

Deno.test("decoding, drawing and encoding of a request share one deadline", async () => {
  const server = slow(12);
  const answer = edit(server);
  await drawing(server);
  server.clock.advance(10_000);
  server.engine.tick(4);
  assert.equal((await answer).status, 200);
  assert.deepEqual(server.left, [["decoder", 30], ["encoder", 8]]);
});

Deno.test("an image is drawn only for as long as decoding has left", async () => {
  const server = slow(12);
  const answer = edit(server);
  await drawing(server);
  server.clock.advance(18_000);
  const { status } = await answer;
  assert.deepEqual([status, server.engine.batch.length], [504, 0]);
});

Deno.test("a request whose time is over when it has been decoded is not drawn", async () => {
  const server = slow(30);
  const { status } = await edit(server);
  assert.deepEqual([status, server.engine.added.length], [504, 0]);
});

Deno.test("the time in which the body arrives is part of the request's", async () => {
  const server = slow(0);
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const answer = edit(server, readable);
  const writer = writable.getWriter();
  const bytes = new TextEncoder().encode(
    JSON.stringify({ prompt: "a cat", images: [{ image_url: PICTURE }] }),
  );
  await writer.write(bytes.subarray(0, 9));
  server.clock.advance(5000);
  await writer.write(bytes.subarray(9));
  await writer.close();
  await drawing(server);
  server.engine.tick(4);
  assert.equal((await answer).status, 200);
  assert.deepEqual(server.left, [["decoder", 25], ["encoder", 25]]);
});
