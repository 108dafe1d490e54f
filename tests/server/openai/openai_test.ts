import assert from "node:assert/strict";
import { CIFAR10_CLASSES } from "../../../lib/data/cifar10.ts";
import { samplerNames } from "../../../lib/diffusion/sampler.ts";
import { BadRequestError, NotFoundError, type OpenAI } from "openai";
import { decodePng } from "../../support/read_png.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import { fakePixels } from "../../support/server/fake_engine.ts";
import { harness } from "../../support/server/harness.ts";
import {
  bytesAt,
  bytesOf,
  type Extensions,
  failure,
  label,
  serving,
} from "../../support/server/openai_client.ts";

Deno.test("openai: an image in base64 is the PNG that /generate gives for the same seed", async () => {
  await serving({}, async ({ client, origin }) => {
    const extensions: Extensions = { seed: 7, steps: 5, guidance: 1.5, sampler: "ddpm" };
    const before = Math.floor(Date.now() / 1000);
    const { created, data, usage, ...rest } = await client.images.generate({
      prompt: "a photo of a Kitten",
      model: "denoise",
      ...extensions,
    });
    const same = "class=cat&seed=7&steps=5&guidance=1.5&sampler=ddpm&format=png";
    assert.deepEqual(bytesOf(data?.[0].b64_json), await bytesAt(`${origin}/generate?${same}`));
    const { rgb, text, width, height } = decodePng(bytesOf(data?.[0].b64_json));
    assert.deepEqual([width, height], [32, 32]);
    assert.deepEqual(rgb, fakePixels({ label: label("cat"), seed: 7, steps: 5 }));
    assert.equal(text.class, "cat");

    assert.deepEqual(data?.map(({ b64_json: _, ...image }) => image), [{ revised_prompt: "cat", seed: 7 }]);
    assert.ok(created >= before && created <= Date.now() / 1000, "created is now, in seconds");
    assert.deepEqual(rest, { background: "opaque", output_format: "png", size: "32x32" });
    assert.deepEqual(usage, {
      input_tokens: 5,
      input_tokens_details: { text_tokens: 5, image_tokens: 0 },
      output_tokens: 10,
      output_tokens_details: { text_tokens: 0, image_tokens: 10 },
      total_tokens: 15,
    });
  });
});

Deno.test("openai: negative class, rescaling and interval are extensions, and stand in the image's URL", async () => {
  await serving({}, async ({ client, origin }) => {
    const extensions = {
      seed: 7,
      guidance: 4,
      negative_class: "dog",
      guidance_rescale: 0.7,
      guidance_interval: "0.2,2",
    };
    const same =
      "class=cat&seed=7&guidance=4&negative_class=dog&guidance_rescale=0.7&guidance_interval=0.2,2";
    const bytes = await bytesAt(`${origin}/generate?${same}&format=png`);
    const { data } = await client.images.generate({ prompt: "a cat", ...extensions });
    assert.deepEqual(bytesOf(data?.[0].b64_json), bytes);
    const linked = await client.images.generate({ prompt: "a cat", response_format: "url", ...extensions });
    assert.deepEqual(await bytesAt(linked.data![0].url!), bytes);
    assert.equal(decodePng(bytes).text.negative_class, "dog");
  });
});

const samplerSettings = [
  { sampler: "ddim", spacing: "trailing", eta: 0.5 },
  { sampler: "ddpm", variance: "fixed_small" },
  { sampler: "edm", churn: 5 },
];
for (const settings of samplerSettings) {
  Deno.test(`openai: ${Object.keys(settings)} are extensions, and stand in the image's URL`, async () => {
    await serving({}, async ({ client, origin, engine }) => {
      const same = new URLSearchParams(
        Object.entries(settings).map(([name, value]) => [name, String(value)]),
      );
      const bytes = await bytesAt(`${origin}/generate?class=cat&seed=7&steps=6&format=png&${same}`);
      const request = { prompt: "a cat", ...{ seed: 7, steps: 6, ...settings } };
      const { data } = await client.images.generate(request);
      assert.deepEqual(bytesOf(data?.[0].b64_json), bytes);
      const linked = await client.images.generate({ ...request, response_format: "url" });
      assert.deepEqual(await bytesAt(linked.data![0].url!), bytes);
      for (const added of engine.added) assert.deepEqual({ ...added, ...settings }, { ...added });
      assert.equal(engine.added.length, 3);
    });
  });
}

Deno.test("openai: the URL of an image by a guided model draws the same image", async () => {
  await serving({ engine: { model: { guide: "weak" } } }, async ({ client, origin }) => {
    const { data } = await client.images.generate({
      prompt: "a cat",
      response_format: "url",
      ...{ seed: 7 },
    });
    assert.deepEqual(await bytesAt(data![0].url!), await bytesAt(`${origin}/generate?class=cat&seed=7`));
  });
});

Deno.test("openai: each of several images is the one that its own seed gives alone", async () => {
  await serving({}, async ({ client, origin }) => {
    const { data } = await client.images.generate({ prompt: "lorries", n: 3, ...{ seed: 40 } });
    assert.deepEqual(data?.map((image) => (image as Extensions).seed), [40, 41, 42]);
    for (const [i, { b64_json }] of data!.entries()) {
      assert.deepEqual(bytesOf(b64_json), await bytesAt(`${origin}/generate?class=truck&seed=${40 + i}`));
    }
  });
});

Deno.test("openai: without a seed it is another one every time, and the answer names it", async () => {
  await serving({}, async ({ client }) => {
    const draw = async (extensions: Extensions = {}) => {
      const { data } = await client.images.generate({ prompt: "a bird", ...extensions });
      return data![0] as OpenAI.Image & { readonly seed: number };
    };
    const [one, two] = [await draw(), await draw()];
    assert.notEqual(one.seed, two.seed);
    assert.deepEqual(await draw({ seed: one.seed }), one);
  });
});

Deno.test("openai: sizes are whole multiples, every pixel a square; formats are those of /generate", async () => {
  await serving({}, async ({ client, origin }) => {
    const prompt = "a ship";
    const draw = async (options: Partial<OpenAI.ImageGenerateParamsNonStreaming>) => {
      const { data, size, output_format } = await client.images.generate({
        prompt,
        ...options,
        ...{ seed: 1 },
      });
      return { bytes: bytesOf(data?.[0].b64_json), size, output_format };
    };
    const plain = fakePixels({ label: label("ship"), seed: 1, steps: 4 });
    for (const [size, scale] of [["auto", 1], ["32x32", 1], ["64x64", 2], ["512x512", 16]] as const) {
      const drawn = await draw({ size });
      assert.equal(drawn.size, `${32 * scale}x${32 * scale}`);
      const { rgb, width, height } = decodePng(drawn.bytes);
      assert.deepEqual([width, height], [32 * scale, 32 * scale]);
      const [x, y] = [7 * scale + scale - 1, 30 * scale];
      assert.deepEqual(
        rgb.slice(3 * (y * width + x)).slice(0, 3),
        plain.slice(3 * (30 * 32 + 7)).slice(0, 3),
      );
      assert.deepEqual(
        drawn.bytes,
        await bytesAt(`${origin}/generate?class=ship&seed=1&scale=${scale}&format=png`),
      );
    }
    for (const output_format of ["jpeg", "webp"] as const) {
      const drawn = await draw({ output_format, size: "64x64" });
      assert.equal(drawn.output_format, output_format);
      const same = `class=ship&seed=1&scale=2&format=${output_format}`;
      assert.deepEqual(drawn.bytes, await bytesAt(`${origin}/generate?${same}`));
    }
  });
});

Deno.test("openai: a link draws the very same bytes when it is fetched, and nothing before", async () => {
  const settings = { steps: 6, guidance: 3, sampler: "ddpm" } as const;
  await serving({ settings }, async ({ client, origin, engine }) => {
    const request = { prompt: "two dogs", n: 2, size: "64x64", ...{ seed: 9 } };
    const { data, usage } = await client.images.generate({ ...request, response_format: "url" });
    assert.equal(engine.added.length, 0);
    assert.equal(usage?.output_tokens, 0);
    const drawn = await client.images.generate(request);
    assert.equal(data?.length, 2);
    for (const [i, { url, b64_json }] of data!.entries()) {
      assert.equal(b64_json, undefined);
      assert.ok(url?.startsWith(`${origin}/generate?`), url ?? "no link");
      assert.deepEqual(await bytesAt(url!), bytesOf(drawn.data?.[i].b64_json));
      // It depends on no default, which the next start of the server may change.
      const names = [...new URL(url!).searchParams.keys()].sort();
      assert.deepEqual(names, [
        "class",
        "format",
        "guidance",
        "sampler",
        "scale",
        "seed",
        "spacing",
        "steps",
      ]);
    }
    const tiny = { prompt: "a dog", response_format: "url", ...{ guidance: 1e-7 } } as const;
    await bytesAt((await client.images.generate(tiny)).data![0].url!);
  });
});

Deno.test("openai: null means that a field is absent, and ignored fields change nothing", async () => {
  await serving({}, async ({ client }) => {
    const plain = await client.images.generate({ prompt: "a cat", ...{ seed: 1 } });
    const nothing: Partial<OpenAI.ImageGenerateParamsNonStreaming> = {
      ...{ model: null, n: null, size: null, response_format: null, output_format: null, stream: null },
      ...{ partial_images: null, steps: null, sampler: null, guidance: null, quality: null },
    };
    const meaningless: Partial<OpenAI.ImageGenerateParamsNonStreaming> = {
      quality: "hd",
      style: "vivid",
      background: "transparent",
      moderation: "low",
      complexity: "high",
      output_compression: 50,
      user: "someone",
      safety_identifier: "x",
      partial_images: 0,
    };
    for (const more of [nothing, meaningless]) {
      const same = await client.images.generate({ prompt: "a cat", ...{ seed: 1 }, ...more });
      assert.deepEqual(same.data, plain.data);
    }
  });
});

Deno.test("openai: a model of other classes and size", async () => {
  const whales = { classes: ["blue_whale", "cat"], config: presetConfig("tiny", 2), width: 96, height: 64 };
  await serving({ engine: { model: whales } }, async ({ client, origin }) => {
    const request = { prompt: "two blue whales", ...{ seed: 2 } };
    const { data, size } = await client.images.generate({ ...request, size: "192x128" });
    assert.equal(size, "192x128");
    assert.equal(data?.[0].revised_prompt, "blue_whale");
    assert.deepEqual(
      bytesOf(data?.[0].b64_json),
      await bytesAt(`${origin}/generate?class=blue_whale&seed=2&scale=2`),
    );
    const puppy = await failure(BadRequestError, client.images.generate({ prompt: "a puppy" }));
    assert.match(puppy.message, /one of blue_whale, cat,/);
    const large = await failure(
      BadRequestError,
      client.images.generate({ prompt: "a cat", size: "512x512" }),
    );
    assert.match(large.message, /one of auto, 96x64, 192x128, .*, 480x320, got/);
  });
});

Deno.test("openai: a model without classes takes any prompt", async () => {
  const model = { classes: [], config: presetConfig("tiny", 0) };
  await serving({ engine: { model } }, async ({ client, origin }) => {
    const request = { prompt: "a cat and a dog", ...{ seed: 2 } };
    const { data } = await client.images.generate(request);
    assert.equal(data?.[0].revised_prompt, undefined);
    const link = (await client.images.generate({ ...request, response_format: "url" })).data![0].url!;
    const bytes = bytesOf(data?.[0].b64_json);
    assert.deepEqual(bytes, await bytesAt(link));
    assert.deepEqual(bytes, await bytesAt(`${origin}/generate?class=none&seed=2`));
  });
});

Deno.test("openai: models are listed and found by id, and another one is NotFoundError", async () => {
  await serving({}, async ({ client }) => {
    const served = {
      id: "fake-model-step-100",
      object: "model" as const,
      created: Date.UTC(2026, 0, 1) / 1000,
      owned_by: "denoise",
      name: "fake-model",
      on_device: true,
      samplers: [...samplerNames],
      sizes: Array.from({ length: 16 }, (_, i) => `${32 * (i + 1)}x${32 * (i + 1)}`),
      classes: [...CIFAR10_CLASSES],
      timesteps: 1000,
    };
    assert.deepEqual((await client.models.list()).data, [served]);
    assert.deepEqual(await client.models.retrieve(served.id), served);
    assert.deepEqual(await client.models.retrieve("denoise"), served);
    assert.deepEqual(await client.models.retrieve("fake-model"), served);
    const { data } = await client.images.generate({ prompt: "a cat", model: served.id });
    assert.equal(data?.length, 1);
    const calls = [
      client.models.retrieve("gpt-image-2"),
      client.images.generate({ prompt: "a cat", model: "gpt-image-2" }),
    ];
    for (const call of calls) {
      const { code, param, message } = await failure(NotFoundError, call);
      assert.deepEqual([code, param], ["model_not_found", "model"]);
      assert.match(message, /the model "gpt-image-2" does not exist; expected fake-model or denoise$/);
    }
  });
});

Deno.test("openai: the routes are in /openapi.json", async () => {
  const { ask } = harness();
  const { paths, components } = await (await ask("/openapi.json")).json();
  const { requestBody, responses } = paths["/v1/images/generations"].post;
  assert.deepEqual(requestBody.content["application/json"].schema, {
    $ref: "#/components/schemas/ImageRequest",
  });
  assert.deepEqual(Object.keys(responses), [
    "200",
    "400",
    "401",
    "404",
    "413",
    "415",
    "429",
    "500",
    "503",
    "504",
  ]);
  const { properties, required, additionalProperties } = components.schemas.ImageRequest;
  assert.deepEqual(required, ["prompt"]);
  assert.equal(additionalProperties, false);
  assert.match(properties.prompt.description, /cat \(kitten, kitty\)/);
  assert.deepEqual([properties.n.minimum, properties.n.maximum], [1, 64]);
  assert.ok(paths["/v1/models"].get && paths["/v1/models/{id}"].get);
});

Deno.test("openai: links lead where clients reach the server, whatever the request calls it", async () => {
  for (const publicUrl of ["https://example.org/images/", "https://example.org/images"]) {
    await serving({ settings: { publicUrl } }, async ({ client }) => {
      const { data } = await client.images.generate({ prompt: "a cat", n: 2, response_format: "url" });
      for (const { url } of data!) {
        assert.match(url!, /^https:\/\/example\.org\/images\/generate\?class=cat&/);
      }
    });
  }
});

Deno.test("openai: a class whose name means something else to /generate is drawn all the same", async () => {
  const model = { config: presetConfig("tiny", 2), classes: ["ox", "Any"] };
  await serving({ engine: { model } }, async ({ client, engine }) => {
    for (const [prompt, label] of [["an ox", 0], ["any", 1]] as const) {
      const ask = { prompt, ...{ seed: 4 } };
      const { data: [{ b64_json }] } = await client.images.generate(ask) as { data: OpenAI.Image[] };
      const linked = await client.images.generate({ ...ask, response_format: "url" });
      assert.deepEqual(await bytesAt(linked.data![0].url!), bytesOf(b64_json));
      assert.deepEqual(engine.added.splice(0).map(({ label }) => label), [label, label]);
    }
  });
});
