import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { decodePng } from "../../support/read_png.ts";
import { EventQueue } from "../../../server/http/event_queue.ts";
import { eventStream } from "../../../server/http/event_stream.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { fakeFrame, fakePixels } from "../../support/server/fake_engine.ts";
import { harness, problemOf } from "../../support/server/harness.ts";
import { until } from "../../support/until.ts";

const CAT = 3;

interface Event {
  readonly name: string;
  // deno-lint-ignore no-explicit-any -- what tests look into
  readonly data: any;
}

/** Reads a stream event by event. */
class Reader {
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";

  constructor(response: Response) {
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("Content-Type"), "text/event-stream");
    this.#reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Next event, with a comment's text as its name; undefined at the end. */
  async next(): Promise<Event | undefined> {
    while (!this.#text.includes("\n\n")) {
      const { done, value } = await this.#reader.read();
      if (done) {
        assert.equal(this.#text, "");
        return undefined;
      }
      this.#text += value;
    }
    const end = this.#text.indexOf("\n\n");
    const text = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 2);
    const event = /^event: (\w+)\ndata: (.*)$/.exec(text);
    return event ? { name: event[1], data: JSON.parse(event[2]) } : { name: text, data: undefined };
  }

  async rest(): Promise<Event[]> {
    const events: Event[] = [];
    for (let event = await this.next(); event; event = await this.next()) events.push(event);
    return events;
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }
}

const names = (events: readonly Event[]) => events.map(({ name }) => name);

Deno.test("a stream tells of its start, shows previews, then the image that /generate gives, then its end", async () => {
  const { ask } = harness();
  const query = "class=cat&seed=7&steps=10&scale=2&guidance=1.5";
  const events = await new Reader(await ask(`/generate/stream?${query}&every=3`)).rest();
  assert.deepEqual(names(events), ["started", "preview", "preview", "preview", "image", "done"]);
  assert.deepEqual(events[0].data, {
    model: "fake-model-step-100",
    seed: 7,
    count: 1,
    steps: 10,
    evaluations: 10,
  });

  const image = { label: CAT, seed: 7, steps: 10 };
  for (const [i, step] of [2, 5, 8].entries()) {
    const { image: file, ...rest } = events[1 + i].data;
    assert.deepEqual(rest, { index: 0, step: step + 1, steps: 10 });
    const { rgb, width } = decodePng(Buffer.from(file, "base64"));
    const frame = fakeFrame(image, "predicted", step);
    assert.deepEqual([width, rgb[0], rgb[6]], [64, frame[0], frame[3]]);
  }

  const { image: file, ...rest } = events[4].data;
  assert.deepEqual(rest, { index: 0, seed: 7, class: "cat" });
  const drawn = await ask(`/generate?${query}`);
  assert.deepEqual(Buffer.from(file, "base64"), Buffer.from(await drawn.arrayBuffer()));

  const { waited, seconds, ...facts } = events[5].data;
  assert.deepEqual(facts, events[0].data);
  assert.ok(waited >= 0 && seconds >= waited);
});

Deno.test("each of several images comes as the file that it gives alone", async () => {
  const { ask } = harness();
  const events = await new Reader(await ask("/generate/stream?class=any&seed=8&count=3&every=1000")).rest();
  const images = events.filter(({ name }) => name === "image").sort((a, b) => a.data.index - b.data.index);
  assert.deepEqual(images.map(({ data }) => [data.index, data.seed, data.class]), [
    [0, 8, "ship"],
    [1, 9, "truck"],
    [2, 10, "airplane"],
  ]);
  for (const { data } of images) {
    const alone = await ask(`/generate?class=any&seed=${data.seed}`);
    assert.deepEqual(Buffer.from(data.image, "base64"), Buffer.from(await alone.arrayBuffer()));
  }
  assert.deepEqual(names(events.slice(-1)), ["done"]);
});

Deno.test("one who waits hears its place in the queue", async () => {
  const { ask, engine } = harness({ engine: { automatic: undefined, rows: 2 } });
  const first = ask("/generate?steps=2");
  const second = ask("/generate?steps=2");
  const reader = new Reader(await ask("/generate/stream?steps=2&every=5"));
  assert.deepEqual(await reader.next(), { name: "queued", data: { position: 1 } });
  engine.tick(2);
  assert.deepEqual(await reader.next(), { name: "queued", data: { position: 0 } });
  engine.tick(2);
  assert.equal((await reader.next())!.name, "started");
  engine.tick(2);
  assert.deepEqual(names(await reader.rest()), ["image", "done"]);
  await Promise.all([first, second]);
});

Deno.test("one who reads slowly misses previews, and nothing else", async () => {
  const { ask, engine } = harness({ engine: { automatic: undefined } });
  const reader = new Reader(await ask("/generate/stream?class=cat&seed=7&steps=500&count=2&every=1"));
  assert.equal((await reader.next())!.name, "started");
  engine.tick(100);
  const behind = [await reader.next(), await reader.next()];
  // The one that was on its way when the others came may be old.
  assert.ok(
    behind.some((event) => event!.data.step === 100),
    JSON.stringify(behind.map((event) => event!.data.step)),
  );
  engine.tick(300);
  engine.tick(99);
  engine.tick(1);
  const rest = await reader.rest();
  assert.ok(rest.length <= 2 + 2 + 1, names(rest).join());
  assert.deepEqual(names(rest.slice(-3)), ["image", "image", "done"]);
  const { image } = rest.find(({ name, data }) => name === "image" && data.index === 0)!.data;
  const { rgb } = decodePng(Buffer.from(image, "base64"));
  assert.deepEqual(Buffer.from(rgb), Buffer.from(fakePixels({ label: CAT, seed: 7, steps: 500 })));
});

Deno.test("a stream in silence shows that it lives", async () => {
  const clock = new FakeClock();
  const { ask, engine } = harness({ engine: { automatic: undefined }, clock });
  const reader = new Reader(await ask("/generate/stream?steps=2&every=5"));
  assert.equal((await reader.next())!.name, "started");
  for (let i = 0; i < 2; i++) {
    const next = reader.next();
    await new Promise((resolve) => setTimeout(resolve)); // what waited for the reader has been called off
    assert.equal(clock.pending, 1);
    clock.advance(14_999);
    assert.equal(
      await Promise.race([next, new Promise((resolve) => setTimeout(resolve, 0, "nothing"))]),
      "nothing",
    );
    clock.advance(1);
    assert.deepEqual(await next, { name: ": still here", data: undefined });
  }
  engine.tick(2);
  assert.deepEqual(names(await reader.rest()), ["image", "done"]);
  assert.equal(clock.pending, 0);
});

Deno.test("one who stops reading leaves the batch", async () => {
  const { ask, engine, context } = harness({ engine: { automatic: undefined } });
  const reader = new Reader(await ask("/generate/stream?count=2"));
  assert.equal((await reader.next())!.name, "started");
  assert.equal(engine.batch.length, 2);
  await reader.cancel();
  assert.deepEqual([engine.batch.length, context.runner.state.running], [0, 0]);
});

Deno.test("a refusal at once is an answer with its status; a later failure is an event", async () => {
  const { ask, engine, context } = harness({
    engine: { automatic: undefined, rows: 2 },
    settings: { queue: 0 },
  });
  const reader = new Reader(await ask("/generate/stream"));
  const refused = await ask("/generate/stream");
  assert.equal(refused.status, 503);
  assert.equal((await problemOf(refused)).type, "urn:denoise:problem:queue_full");
  assert.equal((await ask("/generate/stream?scale=99")).status, 400);
  assert.equal((await ask("/generate/stream?format=png")).status, 400);

  engine.down(new Error("the worker ended"), 4);
  const [, error, ...rest] = await reader.rest();
  assert.deepEqual([error.name, rest], ["error", []]);
  const { type, status, retryAfter, instance } = error.data;
  assert.deepEqual([type, status, retryAfter], ["urn:denoise:problem:engine_down", 503, 4]);
  assert.match(instance, /^urn:denoise:request:/);
  assert.match(await context.metrics.text(), /denoise_errors_total\{code="engine_down"\} 1/);
});

Deno.test("a stream whose picture cannot be made ends with an error, and its images leave the batch", async () => {
  const encode = () => Promise.reject(new Error("secret of the encoder"));
  const { ask, engine, log } = harness({
    engine: { automatic: undefined },
    parts: { encoder: { encode, close() {} } },
  });
  const reader = new Reader(await ask("/generate/stream?steps=9&count=2&every=1"));
  assert.equal((await reader.next())!.name, "started");
  engine.tick();
  const events = await reader.rest();
  assert.deepEqual(names(events), ["error"]);
  assert.ok(!JSON.stringify(events).includes("secret"));
  assert.equal(engine.batch.length, 0);
  assert.ok(log.some(({ level, error }) => level === "error" && String(error).includes("secret")));
});

Deno.test("an event queue keeps what must arrive, and one of what may be dropped", async () => {
  const queue = new EventQueue<string>();
  queue.offer(0, "a1");
  queue.offer(1, "b1");
  queue.push("x");
  queue.offer(0, "a2");
  queue.push("b done", 1);
  const taken: (string | undefined)[] = [];
  for (let i = 0; i < 3; i++) {
    await queue.ready();
    taken.push(queue.take());
  }
  assert.deepEqual(taken, ["x", "a2", "b done"]);
  const ready = queue.ready();
  queue.end();
  await ready;
  await queue.ready();
  assert.equal(queue.take(), undefined);
});

Deno.test("a stream takes nothing from its queue before it is read", async () => {
  const queue = new EventQueue<number>();
  const rendered: number[] = [];
  const body = eventStream(queue, {
    render: (event) => Promise.resolve(`${rendered.push(event)}`),
    onError: String,
    onCancel() {},
  });
  for (let i = 0; i < 5; i++) queue.push(i);
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(rendered, []);
  const reader = body.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(rendered, [0]);
  await reader.cancel();
});

Deno.test("a reader who takes nothing for a minute is given up, and what was drawn for him ends", async () => {
  const clock = new FakeClock();
  const queue = new EventQueue<number>();
  let given = 0;
  const body = eventStream(queue, {
    render: (event) => Promise.resolve(String(event)),
    onError: String,
    onCancel: () => given++,
    clock,
  });
  for (let i = 0; i < 3; i++) queue.push(i);
  const reader = body.getReader();
  const read = async () => new TextDecoder().decode((await reader.read()).value);
  assert.equal(await read(), "0");
  clock.advance(59_999);
  assert.deepEqual([await read(), given], ["1", 0]);
  clock.advance(59_999);
  assert.equal(given, 0);
  clock.advance(1);
  assert.deepEqual([await reader.read(), given, clock.pending], [{ done: true, value: undefined }, 1, 0]);
});

Deno.test("over a socket: one who reads nothing makes no work, and is given up after a minute", async () => {
  const clock = new FakeClock();
  let encoded = 0;
  const encode = () => {
    encoded++;
    return Promise.resolve([new Uint8Array(2 ** 20)]);
  };
  const { app, engine } = harness({
    engine: { automatic: undefined },
    parts: { encoder: { encode, close() {} } },
    clock,
  });
  const listener = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, app.fetch);
  const connection = await Deno.connect({ port: listener.addr.port });
  const request = "GET /generate/stream?steps=300&every=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
  await connection.write(new TextEncoder().encode(request));
  await until("an image in the batch", () => engine.batch.length > 0);
  for (let step = 0; step < 200; step++) {
    engine.tick();
    await new Promise((resolve) => setTimeout(resolve));
  }
  assert.ok(encoded > 0 && encoded < 50, `${encoded} previews were made`); // what the sockets' buffers take
  assert.equal(engine.batch.length, 1);
  clock.advance(60_000);
  assert.equal(engine.batch.length, 0);
  connection.close();
  await listener.shutdown();
});
