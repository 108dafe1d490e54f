import assert from "node:assert/strict";
import { APIError, type OpenAI } from "openai";
import { fakeFrame } from "../../support/server/fake_engine.ts";
import { harness } from "../../support/server/harness.ts";
import {
  byHand,
  bytesAt,
  bytesOf,
  type Extensions,
  failure,
  label,
  pixelsOf,
  serving,
} from "../../support/server/openai_client.ts";
import { until } from "../../support/until.ts";

/** All events of a stream. */
async function events(
  client: OpenAI,
  request: Omit<OpenAI.ImageGenerateParamsStreaming, "stream"> & Extensions,
): Promise<(OpenAI.ImageGenStreamEvent & { readonly image_index: number })[]> {
  const all = [];
  for await (const event of await client.images.generate({ ...request, stream: true })) {
    all.push(event as OpenAI.ImageGenStreamEvent & { readonly image_index: number });
  }
  return all;
}

Deno.test("openai: a stream sends as many previews as asked for, then the bytes that /generate gives", async () => {
  await serving({}, async ({ client, origin, context }) => {
    const image = { label: label("frog"), seed: 3, steps: 8 };
    const sent = await events(client, { prompt: "a frog", partial_images: 3, seed: 3, steps: 8 });
    const partial = sent.filter((event) => event.type === "image_generation.partial_image");
    assert.deepEqual(partial.map((event) => event.partial_image_index), [0, 1, 2]);
    for (const [i, step] of [1, 3, 5].entries()) {
      const { step: done, steps } = partial[i] as { step?: number; steps?: number };
      assert.deepEqual([done, steps], [step + 1, 8]);
      assert.deepEqual(pixelsOf(partial[i].b64_json), fakeFrame(image, "predicted", step));
    }
    assert.equal(sent.length, 4);
    const { b64_json, created_at, ...last } = sent[3];
    assert.deepEqual(bytesOf(b64_json), await bytesAt(`${origin}/generate?class=frog&seed=3&steps=8`));
    assert.ok(Math.abs(created_at - Date.now() / 1000) < 60);
    assert.deepEqual(last, {
      type: "image_generation.completed",
      size: "32x32",
      output_format: "png",
      quality: "auto",
      background: "opaque",
      image_index: 0,
      seed: 3,
      model: "fake-model-step-100",
      revised_prompt: "frog",
      usage: {
        input_tokens: 2,
        input_tokens_details: { text_tokens: 2, image_tokens: 0 },
        output_tokens: 16,
        output_tokens_details: { text_tokens: 0, image_tokens: 16 },
        total_tokens: 18,
      },
    });
    assert.match(await context.metrics.text(), /first_preview_seconds_count\{model="fake-model"\} 1/);
  });
});

Deno.test("openai: with queue_events a stream tells its place in the queue, and when it starts", async () => {
  await serving({ engine: { ...byHand, rows: 2 } }, async ({ client, engine, ask }) => {
    const before = ask("/generate?class=cat");
    const sent: unknown[] = [];
    const extensions: Extensions & { readonly queue_events: boolean } = { seed: 3, queue_events: true };
    const request = { prompt: "a frog", partial_images: 1, ...extensions };
    const ended = (async () => {
      for await (const event of await client.images.generate({ ...request, stream: true })) {
        const { type, ...rest } = event as { type: string; position?: number; model?: string };
        sent.push([type, rest.position ?? rest.model]);
      }
    })();
    await until("it waits", () => sent.length === 1);
    engine.tick(8);
    await ended;
    const { id } = engine.model!;
    assert.deepEqual(sent, [
      ["queued", 0],
      ["started", id],
      ["image_generation.partial_image", id],
      ["image_generation.completed", id],
    ]);
    await (await before).body?.cancel();
  });
});

Deno.test("openai: a stream without previews, with more than there are steps for, and of several images", async () => {
  await serving({}, async ({ client, origin }) => {
    const summary = async (request: Partial<OpenAI.ImageGenerateParamsStreaming> & Extensions) => {
      const sent = await events(client, { prompt: "a deer", ...request });
      return sent.map((event) =>
        `${event.image_index} ${"partial_image_index" in event ? event.partial_image_index : "completed"}`
      );
    };
    assert.deepEqual(await summary({}), ["0 completed"]);
    assert.deepEqual(await summary({ partial_images: 0 }), ["0 completed"]);
    assert.deepEqual(await summary({ partial_images: 3, steps: 1 }), ["0 completed"]);
    assert.deepEqual(await summary({ partial_images: 3, steps: 2 }), ["0 0", "0 completed"]);
    const two = await summary({ partial_images: 1, n: 2, output_format: "webp", size: "96x96" });
    assert.deepEqual(two.toSorted(), ["0 0", "0 completed", "1 0", "1 completed"]);
    for (const { image_index, b64_json } of await events(client, { prompt: "a deer", n: 2, seed: 5 })) {
      assert.deepEqual(
        bytesOf(b64_json),
        await bytesAt(`${origin}/generate?class=deer&seed=${5 + image_index}`),
      );
    }
  });
});

Deno.test("openai: an image that fails in a stream becomes the client's error", async () => {
  await serving({ engine: byHand }, async ({ client, engine, context }) => {
    const call = events(client, { prompt: "a cat", partial_images: 1 });
    const ended = failure<APIError>(APIError, call);
    await until("the image in the batch", () => engine.batch.length === 1);
    engine.tick(2);
    engine.fail();
    const { code, type, message } = await ended;
    assert.deepEqual([code, type], ["failed", "server_error"]);
    assert.match(message, /image 1 of 1 could not be drawn; the server's log says why/);
    assert.match(await context.metrics.text(), /errors_total\{code="failed"\} 1/);
  });
});

Deno.test("openai: a picture that cannot be made into a file ends the stream, and nothing more is drawn", async () => {
  await serving({ engine: byHand }, async ({ client, engine, context, log }) => {
    context.encoder.encode = () => Promise.reject(new Error("the codec broke"));
    const ended = failure<APIError>(APIError, events(client, { prompt: "a cat", partial_images: 1 }));
    await until("the image in the batch", () => engine.batch.length === 1);
    engine.tick(2);
    const { code, message } = await ended;
    assert.equal(code, "internal");
    assert.ok(!message.includes("codec"), "what broke is told to the log alone");
    assert.ok(log.some(({ level, error }) => level === "error" && String(error).includes("the codec broke")));
    await until("an empty batch", () => engine.batch.length === 0);
  });
});

Deno.test("openai: a call that is given up leaves the batch and the queue at once", async () => {
  await serving({ engine: { ...byHand, rows: 2 } }, async ({ client, engine, context: { runner } }) => {
    const request = { prompt: "a cat", n: 2 };
    for (const stream of [false, true]) {
      const [first, second] = [new AbortController(), new AbortController()];
      const calls = [first, second].map(async ({ signal }) => {
        const answer = await client.images.generate({ ...request, stream }, { signal });
        if (Symbol.asyncIterator in answer) { for await (const _ of answer); }
      });
      const ends = Promise.allSettled(calls);
      await until("two requests", () => runner.state.running + runner.state.waiting === 2);
      const added = engine.added.length;
      second.abort();
      await until("one request", () => runner.state.running + runner.state.waiting === 1);
      first.abort();
      await until("no request", () => runner.state.running + runner.state.waiting === 0);
      assert.deepEqual(engine.batch, []);
      await ends;
      assert.equal(engine.added.length, added, "what waited was never drawn");
    }
  });
});

Deno.test("openai: a reader that stops in the middle of a stream gives the image up", async () => {
  await serving({ engine: byHand }, async ({ client, engine, context: { runner } }) => {
    const stream = await client.images.generate({ prompt: "a cat", stream: true, partial_images: 3 });
    engine.tick(1);
    for await (const event of stream) {
      assert.equal(event.type, "image_generation.partial_image");
      break;
    }
    await until("nothing running", () => runner.state.running === 0);
    assert.deepEqual(engine.batch, []);
  });
});

Deno.test("openai: a stream whose body nobody wants any more gives the image up", async () => {
  const { ask, engine } = harness({ engine: byHand });
  const { body } = await ask("/v1/images/generations", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ prompt: "a cat", stream: true }),
  });
  assert.equal(engine.batch.length, 1);
  await body!.cancel();
  assert.deepEqual(engine.batch, []);
});
