import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { GIF } from "imagescript";
import { Images } from "../../../lib/image/images.ts";
import { decodePng } from "../../support/read_png.ts";
import type { Encoder } from "../../../server/pictures/encoder.ts";
import { clientGone } from "../../../server/queue/job.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { fakeFrame, fakePixels } from "../../support/server/fake_engine.ts";
import { type Harness, harness, problemOf } from "../../support/server/harness.ts";

const CAT = 3;

/** The body of an answer that must be good. */
async function bytesOf({ ask }: Harness, query: string, headers: HeadersInit = {}): Promise<Uint8Array> {
  const response = await ask(`/generate?${query}`, { headers });
  assert.equal(response.status, 200);
  return new Uint8Array(await response.arrayBuffer());
}

Deno.test("a picture is the image that the engine drew, with how it was made", async () => {
  const server = harness();
  const response = await server.ask("/generate?class=Cat&seed=7&steps=6&guidance=1.5&sampler=ddim&eta=0.25");
  assert.equal(response.headers.get("Content-Type"), "image/png");
  const { rgb, width, height, text } = decodePng(new Uint8Array(await response.arrayBuffer()));
  assert.deepEqual([width, height], [32, 32]);
  assert.deepEqual(Buffer.from(rgb), Buffer.from(fakePixels({ label: CAT, seed: 7, steps: 6 })));
  assert.deepEqual(text, {
    model: "fake-model-step-100",
    model_digest: "0123456789abcdef",
    class: "cat",
    seed: "7",
    sampler: "ddim",
    steps: "6",
    spacing: "leading",
    eta: "0.25",
    guidance: "1.5",
  });
  assert.deepEqual(server.engine.added.map(({ id: _, frames: __, ...image }) => image), [
    { label: CAT, seed: 7, steps: 6, sampler: "ddim", spacing: "leading", eta: 0.25, guidance: 1.5 },
  ]);
});

Deno.test("a mixture, a negative class, rescaling and an interval reach the engine, and the picture names them", async () => {
  const server = harness();
  const wish =
    "class=cat:3,dog:1&guidance=4&negative_class=Truck&guidance_rescale=0.7&guidance_interval=0.2,inf";
  const response = await server.ask(`/generate?${wish}&seed=7&steps=6`);
  const { text } = decodePng(new Uint8Array(await response.arrayBuffer()));
  const settings = {
    guidance: "4",
    negative_class: "truck",
    guidance_rescale: "0.7",
    guidance_interval: "0.2,inf",
  };
  assert.deepEqual(text, {
    ...{
      model: "fake-model-step-100",
      model_digest: "0123456789abcdef",
      class: "cat:3,dog:1",
      seed: "7",
      sampler: "unipc",
      spacing: "karras",
      steps: "6",
    },
    ...settings,
  });
  const { id: _, frames: __, ...image } = server.engine.added[0];
  assert.deepEqual(image, {
    ...{
      label: [{ label: CAT, weight: 3 }, { label: 5, weight: 1 }],
      seed: 7,
      sampler: "unipc",
      spacing: "karras",
      steps: 6,
    },
    ...{ guidance: 4, negative: 9, guidanceRescale: 0.7, guidanceInterval: [0.2, Infinity] },
  });
  // What the picture names draws it again.
  const again = new URLSearchParams({ class: text.class, seed: "7", steps: "6", ...settings });
  const { images: _images, ...facts } = await (await server.ask(`/generate?${again}&format=json`)).json();
  assert.deepEqual(facts, {
    ...{ model: "fake-model-step-100", sampler: "unipc", spacing: "karras", steps: 6 },
    ...{ guidance: 4, negative_class: "truck", guidance_rescale: 0.7, guidance_interval: "0.2,inf" },
  });
  assert.deepEqual({ ...server.engine.added[1], id: 0, frames: 0 }, { ...image, id: 0, frames: 0 });
});

Deno.test("parameters of guidance out of range are refused by the names of the request", async () => {
  const { ask } = harness();
  const detail = async (query: string) => {
    const response = await ask(`/generate?${query}`);
    assert.equal(response.status, 400, query);
    const { detail, errors } = await response.json();
    return [errors[0].field, detail];
  };
  const expected: [string, string, RegExp][] = [
    ["negative_class=truk", "negative_class", /did you mean truck\?\), got "truk"$/],
    ["guidance_rescale=1.5", "guidance_rescale", /a decimal number from 0 to 1, got "1.5"$/],
    ["guidance_interval=2,1", "guidance_interval", /two ratios of noise to signal, .*, got "2,1"$/],
    ["class=cat:1,dogg:1", "class", /did you mean dog\?\), got "dogg"$/],
    ["class=cat:1,dog:0", "class", /a weight above 0, got "dog:0"$/],
  ];
  for (const [query, field, words] of expected) {
    const [got, text] = await detail(query);
    assert.equal(got, field, query);
    assert.match(text, words, query);
  }
});

Deno.test("headers tell seed, model, steps and times", async () => {
  const { ask } = harness({ engine: { model: { id: "ein Modell – groß" } } });
  const { headers } = await ask("/generate?class=dog&count=3&seed=5&format=jpeg");
  assert.equal(headers.get("X-Seed"), "5");
  assert.equal(decodeURI(headers.get("X-Model")!), "ein Modell – groß");
  assert.equal(headers.get("X-Steps"), "4");
  assert.match(headers.get("X-Time")!, /^\d+\.\d{3}$/);
  assert.match(headers.get("Server-Timing")!, /^queue;dur=\d+\.\d, draw;dur=\d+\.\d, encode;dur=\d+\.\d$/);
  assert.equal(headers.get("Content-Disposition"), 'inline; filename="dog-5-x3.jpeg"');
  assert.equal(headers.get("Cache-Control"), "private, no-cache");
  assert.equal(headers.get("Vary"), "Accept");
});

Deno.test("without a seed, the one that was taken is told, and gives the same bytes again", async () => {
  const server = harness();
  const response = await server.ask("/generate?class=cat");
  assert.equal(response.headers.get("Cache-Control"), "no-store");
  assert.equal(response.headers.get("ETag"), null);
  const seed = response.headers.get("X-Seed");
  assert.match(seed!, /^\d+$/);
  const again = await bytesOf(server, `class=cat&seed=${seed}`);
  assert.deepEqual(again, new Uint8Array(await response.arrayBuffer()));
});

Deno.test("several images make a grid, image i being that of seed + i", async () => {
  const pixels = [7, 8, 9].map((seed) => fakePixels({ label: CAT, seed, steps: 4 }));
  const grid = Images.concat(pixels.map((one) => new Images(one, 1, 32, 32))).grid({ scale: 2 });
  const { rgb, width, height, text } = decodePng(
    await bytesOf(harness(), "class=cat&seed=7&count=3&scale=2"),
  );
  assert.deepEqual([width, height], [grid.width, grid.height]);
  assert.deepEqual(Buffer.from(rgb), Buffer.from(grid.pixels));
  assert.deepEqual([text.seed, text.class], ["7, 8, 9", "cat"]);
});

Deno.test("json has each image as the file that it gives alone", async () => {
  const server = harness();
  const query = "class=any&count=3&steps=5&scale=4&format=json&seed=18";
  const body = JSON.parse(new TextDecoder().decode(await bytesOf(server, query)));
  const { images, ...facts } = body;
  const sampling = { sampler: "unipc", spacing: "karras", steps: 5 };
  assert.deepEqual(facts, { model: "fake-model-step-100", ...sampling, guidance: 2 });
  assert.deepEqual(
    images.map(({ image: _, ...rest }: { image: string }) => rest),
    [["ship", 18], ["truck", 19], ["airplane", 20]].map(([name, seed]) => ({
      seed,
      class: name,
      width: 128,
      height: 128,
    })),
  );
  for (const { image, seed, class: name } of images) {
    const alone = await bytesOf(server, `class=${name}&seed=${seed}&steps=5&scale=4`);
    assert.equal(image, Buffer.from(alone).toString("base64"));
    assert.deepEqual(await bytesOf(server, `class=any&seed=${seed}&steps=5&scale=4`), alone);
  }
});

Deno.test("a gif goes from noise to the image", async () => {
  const server = harness();
  const gif = await GIF.decode(await bytesOf(server, "class=cat&seed=7&steps=40&format=gif"));
  assert.deepEqual([gif.length, gif.width, gif.height], [30, 32, 32]);
  const { frames } = server.engine.added[0];
  assert.deepEqual([frames!.kind, frames!.at.length, frames!.at[0], frames!.at.at(-1)], ["noisy", 29, 0, 38]);
  const image = { label: CAT, seed: 7, steps: 40 };
  const pictures = [...frames!.at.map((step) => fakeFrame(image, "noisy", step)), fakePixels(image)];
  for (const [index, picture] of pictures.entries()) {
    assert.ok(meanDifference(gif[index].bitmap, picture) < 30, `frame ${index}`);
    assert.ok(
      meanDifference(gif[index].bitmap, pictures[(index + 1) % 30]) > 60,
      `frame ${index} is another`,
    );
  }
});

function meanDifference(rgba: Uint8ClampedArray, rgb: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < rgb.length; i++) sum += Math.abs(rgb[i] - rgba[Math.floor(i / 3) * 4 + i % 3]);
  return sum / rgb.length;
}

Deno.test("a gif of one step and a gif of several images have their frames, too", async () => {
  const server = harness();
  assert.equal((await GIF.decode(await bytesOf(server, "steps=1&format=gif"))).length, 1);
  const grid = await GIF.decode(await bytesOf(server, "steps=3&count=4&format=gif"));
  assert.deepEqual([grid.length, grid.width], [3, 70]);
});

Deno.test("the format is the one named, else the one that Accept asks for", async () => {
  const server = harness();
  const type = async (query: string, accept?: string) => {
    const response = await server.ask(
      `/generate?${query}`,
      accept === undefined ? {} : { headers: { accept } },
    );
    await response.body?.cancel();
    return `${response.status} ${response.headers.get("Content-Type")}`;
  };
  assert.equal(await type("", "application/json"), "200 application/json");
  assert.equal(await type("", "image/jpeg;q=0.8, image/webp"), "200 image/webp");
  assert.equal(await type("", "image/*"), "200 image/png");
  assert.equal(await type("format=jpeg", "application/json"), "200 image/jpeg");
  assert.equal(await type("format=json", "text/html"), "200 application/json");
  assert.equal(await type("", "text/html"), "406 application/problem+json");
  assert.equal(server.engine.added.length, 5);
});

Deno.test("the same seed gives the same bytes in every format, whatever runs beside it", async () => {
  const alone = harness();
  const crowded = harness({ engine: { rows: 6 } });
  const noise = Array.from({ length: 8 }, (_, i) => crowded.ask(`/generate?class=${i}&count=${i + 1}`));
  for (const format of ["png", "jpeg", "webp", "gif", "json"]) {
    const query = `class=cat&count=2&seed=7&format=${format}`;
    const [first, second] = await Promise.all([bytesOf(alone, query), bytesOf(crowded, query)]);
    assert.deepEqual(first, second, format);
  }
  for (const response of await Promise.all(noise)) await response.body?.cancel();
});

Deno.test("with a seed, an unchanged picture is not drawn again", async () => {
  const server = harness();
  const first = await server.ask("/generate?class=cat&seed=7");
  const tag = first.headers.get("ETag")!;
  const again = (query: string, tags: string) =>
    server.ask(`/generate?${query}`, { headers: { "If-None-Match": tags } });
  for (const tags of [tag, `"other", ${tag}`, `W/${tag}`]) {
    const response = await again("class=CAT&seed=7&format=png", tags);
    assert.deepEqual([response.status, response.headers.get("ETag"), await response.text()], [304, tag, ""]);
  }
  assert.equal(server.engine.added.length, 1);

  const others = [
    "class=cat&seed=8",
    "class=dog&seed=7",
    "class=cat&seed=7&scale=2",
    "class=cat&seed=7&steps=5",
  ];
  for (const query of [...others, "class=cat&seed=7&format=jpeg"]) {
    assert.equal((await again(query, tag)).status, 200, query);
  }
  assert.equal((await again("class=cat&seed=7", "*")).status, 200);
  assert.equal((await again("class=cat", tag)).status, 200);
  await server.engine.reload();
  const reloaded = await again("class=cat&seed=7", tag);
  assert.equal(reloaded.status, 200);
  assert.notEqual(reloaded.headers.get("ETag"), tag);
});

Deno.test("a full queue is 503 with the time to come back, and health answers meanwhile", async () => {
  const server = harness({ engine: { automatic: undefined, rows: 2 }, settings: { queue: 2 } });
  const accepted = Array.from({ length: 3 }, (_, i) => server.ask(`/generate?seed=${i}`));
  for (const path of ["/generate", "/generate/stream", "/generate?format=json"]) {
    const refused = await server.ask(path);
    assert.equal(refused.status, 503);
    assert.match(refused.headers.get("Retry-After")!, /^[1-9]\d*$/);
    assert.equal((await problemOf(refused)).type, "urn:denoise:problem:queue_full");
  }
  assert.equal((await server.ask("/healthz")).status, 200);
  assert.equal((await server.ask("/metrics")).status, 200);
  while (server.engine.batch.length > 0) server.engine.tick();
  for (const response of await Promise.all(accepted)) assert.equal(response.status, 200);
});

Deno.test("out of time is 504", async () => {
  const clock = new FakeClock();
  const server = harness({
    engine: { automatic: undefined },
    settings: { timeout: 30 },
    schedulerClock: clock,
  });
  const answer = server.ask("/generate");
  clock.advance(30_000);
  const response = await answer;
  assert.equal(response.status, 504);
  assert.equal((await problemOf(response)).type, "urn:denoise:problem:timeout");
});

Deno.test("an image that fails, an engine that goes down and a server that shuts down are told apart", async () => {
  const server = harness({ engine: { automatic: undefined } });
  const failed = server.ask("/generate");
  server.engine.fail(new Error("a value is not finite"));
  assert.equal((await failed).status, 500);

  const lost = server.ask("/generate");
  server.engine.down(new Error("the worker ended"), 3);
  const response = await lost;
  assert.deepEqual([response.status, response.headers.get("Retry-After")], [503, "3"]);

  server.engine.up();
  server.context.runner.drain(1);
  const refused = await server.ask("/generate");
  assert.equal(refused.status, 503);
  assert.equal((await problemOf(refused)).type, "urn:denoise:problem:draining");
});

Deno.test("one who has gone is not drawn for, and the log tells it", async () => {
  const server = harness({ engine: { automatic: undefined, rows: 2 } });
  const gone = [new AbortController(), new AbortController()];
  const running = server.ask("/generate?count=2", { signal: gone[0].signal });
  const waiting = server.ask("/generate", { signal: gone[1].signal });
  assert.equal(server.engine.batch.length, 1);
  gone[1].abort();
  assert.equal((await waiting).status, 499);
  gone[0].abort();
  assert.equal((await running).status, 499);
  assert.deepEqual([server.engine.batch.length, server.engine.added.length], [0, 1]);
  assert.deepEqual(server.log.map(({ code, status, level }) => [code, status, level]), [
    ["client_gone", 499, "info"],
    ["client_gone", 499, "info"],
  ]);
});

Deno.test("pictures are made for whoever asked, in what is left of the request's time, all of a request at once", async () => {
  const clock = new FakeClock();
  const asked: { count: number; client: string; seconds: number }[] = [];
  const encoder: Encoder = {
    encode(pictures, { client, seconds }) {
      asked.push({ count: pictures.length, client, seconds });
      return Promise.resolve(pictures.map(() => Uint8Array.of(1)));
    },
    close() {},
  };
  const server = harness({
    engine: { automatic: undefined },
    settings: { timeout: 30, maxImages: 300 },
    schedulerClock: clock,
    parts: { encoder },
  });
  for (const query of ["format=webp&steps=1&count=5", "format=json&steps=1&count=300"]) {
    const answer = server.ask(`/generate?${query}`);
    clock.advance(10_000);
    while (server.engine.batch.length > 0) server.engine.tick();
    assert.equal((await answer).status, 200, query);
  }
  assert.deepEqual(asked, [1, 300].map((count) => ({ count, client: "192.0.2.1", seconds: 20 })));
});

Deno.test("one who has gone while the pictures are made is not answered, and the log tells it", async () => {
  const begun = Promise.withResolvers<void>();
  const encoder: Encoder = {
    encode(_, { signal }) {
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => reject(clientGone()));
      begun.resolve();
      return promise;
    },
    close() {},
  };
  const server = harness({ parts: { encoder } });
  const gone = new AbortController();
  const answer = server.ask("/generate?format=webp", { signal: gone.signal });
  await begun.promise;
  gone.abort();
  assert.equal((await answer).status, 499);
  assert.deepEqual(server.log.map(({ code, status }) => [code, status]), [["client_gone", 499]]);
});

Deno.test("a model that came while a request waited is the one that is told", async () => {
  const server = harness({ engine: { automatic: undefined, rows: 2 } });
  const first = server.ask("/generate?seed=1");
  const second = server.ask("/generate?seed=1");
  server.engine.up({ id: "newer", loadedAt: 1 });
  while (server.engine.batch.length > 0) server.engine.tick();
  const [before, after] = await Promise.all([first, second]);
  assert.deepEqual([before.headers.get("X-Model"), after.headers.get("X-Model")], [
    "fake-model-step-100",
    "newer",
  ]);
  assert.notEqual(before.headers.get("ETag"), after.headers.get("ETag"));
  const { text } = decodePng(new Uint8Array(await after.arrayBuffer()));
  assert.equal(text.model, "newer");
});

Deno.test("clients are told apart by their address", async () => {
  const server = harness();
  const clients: string[] = [];
  const run = server.context.runner.run.bind(server.context.runner);
  server.context.runner.run = (job: Parameters<typeof run>[0]) => {
    clients.push(job.client);
    return run(job);
  };
  await server.ask("/generate", { headers: { "X-Forwarded-For": "203.0.113.9" } });
  await server.app.request("/generate", {}, { remoteAddr: { hostname: "198.51.100.7" } });
  await server.app.request("/generate");
  assert.deepEqual(clients, ["192.0.2.1", "198.51.100.7", "unknown"]);
});
