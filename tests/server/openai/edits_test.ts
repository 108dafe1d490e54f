import assert from "node:assert/strict";
import { BadRequestError, NotFoundError, type OpenAI, toFile } from "openai";
import { fakePixels } from "../../support/server/fake_engine.ts";
import { makeJpeg, makeWebp } from "../../support/image_files.ts";
import { makePng } from "../../support/synthetic.ts";
import {
  bytesOf,
  type Extensions,
  failure,
  label,
  pixelsOf,
  serving,
} from "../../support/server/openai_client.ts";

/** Extensions of edits. */
interface EditExtensions extends Extensions {
  readonly strength?: number;
  readonly resamplings?: number;
  readonly jump?: number;
  readonly class?: string;
  readonly spacing?: string;
  readonly eta?: number;
}

/** Red on the left, blue on the right. */
const halves = (width: number) => (x: number) => x < width / 2 ? [255, 0, 0] : [0, 0, 255];
/** Transparent in the upper half. */
const upper = (height: number) => (_: number, y: number) => [0, 0, 0, y < height / 2 ? 0 : 255];

async function png(width: number, height = width, colour = halves(width)): Promise<Uint8Array<ArrayBuffer>> {
  return Uint8Array.from(await makePng(width, height, colour));
}

async function maskPng(width: number, height = width): Promise<Uint8Array<ArrayBuffer>> {
  return Uint8Array.from(await makePng(width, height, upper(height)));
}

const file = (bytes: Uint8Array<ArrayBuffer>, name = "picture.png") => toFile(bytes, name);

Deno.test("edits: the official client's form becomes an edit of the engine, in the model's size", async () => {
  await serving({}, async ({ client, engine }) => {
    const sampling = { steps: 10, guidance: 1.5, sampler: "ddim", spacing: "trailing", eta: 0.25 };
    const extensions: EditExtensions = { seed: 7, ...sampling, strength: 0.5 };
    const { data, usage, ...rest } = await client.images.edit({
      image: await file(await png(64)),
      mask: await file(await maskPng(64)),
      prompt: "a photo of a kitten",
      model: "denoise",
      n: 2,
      size: "auto",
      user: "somebody",
      input_fidelity: "high",
      quality: "high",
      ...extensions,
    });
    assert.deepEqual(engine.added.map(({ seed, label }) => [seed, label]), [[7, label("cat")], [8, 3]]);
    for (const { edit, steps, sampler, guidance, spacing, eta } of engine.added) {
      assert.ok(edit?.mask);
      assert.deepEqual({ steps, guidance, sampler, spacing, eta }, sampling);
      assert.equal(edit.strength, 0.5);
      assert.equal(edit.image.length, 32 * 32 * 3);
      for (let at = 0; at < 32 * 32; at++) {
        const left = at % 32 < 16;
        assert.deepEqual([...edit.image.subarray(3 * at, 3 * at + 3)], left ? [1, -1, -1] : [-1, -1, 1]);
        assert.equal(edit.mask[at], at < 512 ? 1 : 0);
      }
    }
    assert.deepEqual(pixelsOf(data?.[1].b64_json), fakePixels({ label: 3, seed: 8, steps: 10 }));
    assert.deepEqual(data?.map(({ b64_json: _, ...image }) => image), [
      { revised_prompt: "cat", seed: 7 },
      { revised_prompt: "cat", seed: 8 },
    ]);
    const { created: _, ...facts } = rest;
    assert.deepEqual(facts, { background: "opaque", output_format: "png", size: "32x32" });
    assert.equal(usage?.output_tokens, 20, "two images of five steps, guided");
  });
});

Deno.test("edits: a list of one image, JPEG and WebP, any size, cropped to the centre; no mask", async () => {
  await serving({}, async ({ client, engine }) => {
    const wide = (x: number) => x < 40 || x >= 120 ? [0, 255, 0] : [255, 0, 0];
    for (
      const [name, bytes] of [
        ["a.jpg", await makeJpeg(160, 80, wide)],
        ["a.webp", await makeWebp(160, 80, wide, { lossless: true })],
        ["a.png", await png(160, 80, wide)],
      ] as const
    ) {
      await client.images.edit({ image: [await file(bytes, name)], prompt: "a dog", stream: false });
      const { edit } = engine.added.at(-1)!;
      assert.equal(edit?.mask, undefined);
      for (let at = 0; at < 32 * 32 * 3; at += 3) {
        assert.ok(edit!.image[at] > 0.9 && edit!.image[at + 1] < -0.9, `${name}: no green at ${at}`);
      }
    }
    const clear = await makeWebp(8, 8, () => [0, 0, 0, 0], { lossless: true });
    await client.images.edit({ image: await file(clear), prompt: "a dog" });
    assert.ok(engine.added.at(-1)!.edit!.image.every((value) => value === 1), "transparency is white");
  });
});

Deno.test("edits: JSON with data URLs is the same request", async () => {
  await serving({}, async ({ client, engine }) => {
    const url = (bytes: Uint8Array) => ({ image_url: `data:image/png;base64,${bytes.toBase64()}` });
    const fields = { prompt: "a ship", seed: 3, strength: 0.7, steps: 6 };
    const [image, mask] = [await png(32), await maskPng(32)];
    const form = await client.images.edit({ image: await file(image), mask: await file(mask), ...fields });
    const body = { images: [url(image)], mask: url(mask), ...fields };
    const json = await client.post<OpenAI.ImagesResponse>("/images/edits", { body });
    assert.deepEqual(json.data, form.data);
    const [one, two] = engine.added;
    assert.deepEqual({ ...one, id: 0 }, { ...two, id: 0 });
  });
});

Deno.test("edits: a stream has OpenAI's events of edits", async () => {
  await serving({}, async ({ client }) => {
    const stream = await client.images.edit({
      image: await file(await png(32)),
      prompt: "a frog",
      stream: true,
      partial_images: 2,
      ...{ seed: 5, steps: 8 },
    });
    const events = await Array.fromAsync(stream);
    assert.deepEqual(events.map(({ type }) => type), [
      "image_edit.partial_image",
      "image_edit.partial_image",
      "image_edit.completed",
    ]);
    const first = events[0] as typeof events[0] & { readonly steps: number };
    assert.equal(first.steps, 4, "0.6 of the 8 steps");
    assert.deepEqual(pixelsOf(events[2].b64_json), fakePixels({ label: label("frog"), seed: 5, steps: 8 }));
  });
});

Deno.test("class, an extension, takes the place of the prompt's, for edits and generations", async () => {
  await serving({}, async ({ client, engine }) => {
    const image = await file(await png(32));
    const extensions: EditExtensions = { class: "cat:0.6,dog:0.4", seed: 1 };
    const edited = await client.images.edit({ image, prompt: "whatever", ...extensions });
    const generated = await client.images.generate({ prompt: "whatever", ...extensions });
    const mixture = [{ label: 3, weight: 0.6 }, { label: 5, weight: 0.4 }];
    assert.deepEqual(engine.added.map(({ label }) => label), [mixture, mixture]);
    for (const { data } of [edited, generated]) assert.equal(data?.[0].revised_prompt, "cat:0.6,dog:0.4");
    const { data } = await client.images.generate({ prompt: "whatever", n: 2, ...{ class: "any", seed: 1 } });
    assert.deepEqual(data?.map(({ revised_prompt }) => revised_prompt), ["automobile", "bird"]);
  });
});

Deno.test("edits: a file that cannot be used is named, and what is wrong with it", async () => {
  await serving({}, async ({ client, engine }) => {
    const good = await png(32);
    const flipped = Uint8Array.from(good, (byte, i) => i === 60 ? byte ^ 1 : byte);
    const claimed = Uint8Array.from(good);
    new DataView(claimed.buffer).setUint32(16, 5000);
    new DataView(claimed.buffer).setUint32(20, 5000);
    new DataView(claimed.buffer).setUint32(29, crc(claimed.subarray(12, 29)));
    const text = new TextEncoder().encode("<svg xmlns='http://www.w3.org/2000/svg'/>");
    const cases: [image: Uint8Array<ArrayBuffer>, mask: Uint8Array<ArrayBuffer> | undefined, RegExp][] = [
      [text, undefined, /^400 image: an XML or SVG document; expected a PNG, JPEG, WebP or GIF image$/],
      [new Uint8Array(), undefined, /^400 image: an empty file; expected/],
      [good.slice(0, 50), undefined, /^400 image: a damaged PNG|^400 image: a PNG cut short/],
      [flipped, undefined, /^400 image: a damaged PNG: the checksum/],
      [
        claimed,
        undefined,
        /^400 image: 5000 x 5000 pixels, expected at most 16384 a side and 16777216 in all$/,
      ],
      [good, text, /^400 mask: an XML or SVG document/],
      [good, await maskPng(64), /^400 mask: 64 x 64 pixels, expected 32 x 32 pixels as the image has$/],
      [good, await png(32), /^400 mask: nothing in it is transparent/],
      [good, await makeJpeg(32, 32, halves(32)), /^400 mask: nothing in it is transparent/],
    ];
    for (const [image, mask, message] of cases) {
      const error = await failure(
        BadRequestError,
        client.images.edit({
          image: await file(image),
          ...(mask ? { mask: await file(mask) } : {}),
          prompt: "cat",
        }),
      );
      assert.match(error.message, message);
      assert.equal(error.param, mask ? "mask" : "image");
      assert.deepEqual([error.type, error.code], ["invalid_request_error", "invalid_picture"]);
    }
    assert.equal(engine.added.length, 0);
  });
});

/** CRC-32 of a PNG's chunk. */
function crc(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = value >>> 1 ^ (value & 1 ? 0xedb88320 : 0);
  }
  return ~value >>> 0;
}

Deno.test("edits: wrong fields are refused before anything is decoded", async () => {
  const decoder = {
    decode: () => Promise.reject(new Error("decoded")),
    close() {},
  };
  await serving({ parts: { decoder } }, async ({ client, engine }) => {
    const image = await file(await png(32));
    const cases: [Record<string, unknown>, string, string][] = [
      [{ prompt: "a house" }, "prompt", "prompt: expected a class word"],
      [{ prompt: "" }, "prompt", "prompt: expected a text of 1 to 1000 characters"],
      [{ n: "two" }, "n", 'n: expected a whole number from 1 to 64, got "two"'],
      [{ n: 65 }, "n", "n: expected a whole number from 1 to 64, got 65"],
      [{ stream: "yes" }, "stream", 'stream: expected true or false, got "yes"'],
      [{ strength: 1.5 }, "strength", "strength: expected a number from 0 to 1, got 1.5"],
      [{ strength: "9".repeat(400) }, "strength", 'strength: expected a number from 0 to 1, got "999'],
      [{ resamplings: 51 }, "resamplings", "resamplings: expected a whole number from 1 to 50, got 51"],
      [{ jump: 0 }, "jump", "jump: expected a whole number from 1 to 1000, got 0"],
      [{ size: "48x48" }, "size", "size: expected one of auto, 32x32"],
      [{ response_format: "url" }, "response_format", "response_format: expected b64_json for an edit"],
      [{ strenght: 1 }, "strenght", "strenght: unknown parameter (did you mean strength?)"],
      [{ ["__proto__"]: "x" }, "__proto__", "__proto__: unknown parameter"],
      [{ mask: "a text" }, "mask", 'mask: expected a file, got "a text"'],
      [{ prompt: image }, "prompt", 'prompt: expected text, got "a file"'],
      [{ image: undefined }, "image", "image: expected a PNG, JPEG, WebP or GIF file, got nothing"],
      [{ image: "https://example.com/a.png" }, "image", "image: expected a file, got"],
      [{ image: [image, image] }, "image", 'image: expected one file, got "a file"'],
    ];
    for (const [fields, param, told] of cases) {
      const body = { image, extra: undefined, prompt: "a cat", ...fields } as unknown;
      const call = client.images.edit(body as OpenAI.ImageEditParamsNonStreaming);
      const error = await failure(BadRequestError, call);
      assert.ok(error.message.startsWith(`400 ${told}`), error.message);
      assert.equal(error.param, param);
    }
    const other = await failure(NotFoundError, client.images.edit({ image, prompt: "cat", model: "other" }));
    assert.equal(other.param, "model");
    assert.equal(engine.added.length, 0);
  });
});

Deno.test("edits: RePaint's passes need a mask, a sampler of single steps, and fit the server's limit", async () => {
  await serving({ settings: { maxSteps: 20 } }, async ({ client, engine }) => {
    const [image, mask] = [await file(await png(32)), await file(await maskPng(32))];
    const edit = (extensions: EditExtensions, files = { image, mask }) =>
      client.images.edit({ ...files, prompt: "a cat", ...extensions });
    await edit({ steps: 6, resamplings: 3, jump: 2 });
    const { edit: made, sampler } = engine.added[0]!;
    assert.equal(sampler, "ddim", "the usual default cannot repeat its steps");
    assert.deepEqual([made?.resamplings, made?.jump, made?.strength], [3, 2, 1]);
    const refusals: [call: Promise<unknown>, param: string, told: RegExp][] = [
      [
        client.images.edit({ image, prompt: "a cat", ...{ resamplings: 2 } }),
        "resamplings",
        /1 without a mask/,
      ],
      [edit({ resamplings: 2, sampler: "dpm++2m" }), "resamplings", /1 with dpm\+\+2m/],
      [edit({ resamplings: 2, steps: 6, jump: 6 }), "jump", /fewer than the 6 steps that are run/],
      [
        edit({ resamplings: 9, steps: 6, jump: 2 }),
        "resamplings",
        /fewer, since they take \d+ and the server's limit is 20/,
      ],
      [edit({ strength: 0 }), "strength", /a number above 0 and at most 1/],
    ];
    for (const [call, param, told] of refusals) {
      const error = await failure(BadRequestError, call);
      assert.match(error.message, told);
      assert.equal(error.param, param);
    }
    assert.equal(engine.added.length, 1);
  });
});

Deno.test("edits: JSON may name neither files nor addresses, and has one image", async () => {
  await serving({}, async ({ client }) => {
    const url = `data:image/png;base64,${(await png(32)).toBase64()}`;
    const cases: [Record<string, unknown>, string, RegExp][] = [
      [{}, "images", /images: expected one image, got nothing/],
      [{ images: [{ image_url: url }, { image_url: url }] }, "images", /images: expected one image/],
      [{ images: [{ file_id: "file-1" }] }, "images.0.image_url", /image_url: expected a data URL/],
      [{ images: [{ image_url: "https://example.com/a.png" }] }, "images.0.image_url", /expected a data URL/],
      [
        { images: [{ image_url: "file:///etc/passwd" }] },
        "images.0.image_url",
        /expected a data URL .*, got "file:\/\/\/etc\/passwd"$/,
      ],
      [
        { images: [{ image_url: "data:image/png;base64,%%" }] },
        "images.0.image_url",
        /expected a data URL/,
      ],
      [{ images: [{ image_url: url }], mask: url }, "mask", /mask: expected an object with image_url/],
      [
        { images: [{ image_url: url, detial: "high" }] },
        "images.0.detial",
        /images\.0\.detial: unknown parameter; expected one of image_url$/,
      ],
      [
        { images: [{ image_url: url }], mask: { image_url: url, image_ulr: url } },
        "mask.image_ulr",
        /mask\.image_ulr: unknown parameter \(did you mean image_url\?\); expected one of image_url$/,
      ],
    ];
    for (const [fields, param, message] of cases) {
      const body = { prompt: "a cat", ...fields };
      const error = await failure(BadRequestError, client.post("/images/edits", { body }));
      assert.match(error.message, message);
      assert.equal(error.param, param, error.message);
    }
  });
});

Deno.test("edits: bodies of another type, without a boundary, damaged or of too many parts", async () => {
  await serving({}, async ({ origin }) => {
    const form = (text: string) => text.replaceAll("\n", "\r\n");
    const part = 'Content-Disposition: form-data; name="a"\n\nb\n';
    const cases: [type: string, body: string, status: number, code: string][] = [
      ["text/plain", "x", 415, "unsupported_media_type"],
      ["multipart/form-data", "x", 415, "unsupported_media_type"],
      ["multipart/form-data; charset=utf-8", "x", 400, "invalid_form"],
      ["multipart/form-data; boundary=b", "", 400, "invalid_form"],
      ["multipart/form-data; boundary=b", "not a form", 400, "invalid_form"],
      ["multipart/form-data; boundary=b", form(`--b\n${part}`.repeat(65) + "--b--\n"), 400, "invalid_form"],
      ["multipart/form-data; boundary=b", form(`--b\n${part}--b--\n`), 400, "invalid_parameter"],
    ];
    for (const [type, body, status, code] of cases) {
      const response = await fetch(`${origin}/v1/images/edits`, {
        method: "POST",
        body,
        headers: { "Content-Type": type },
      });
      const { error } = await response.json();
      assert.deepEqual([response.status, error.code], [status, code], `${type}: ${error.message}`);
    }
  });
});

Deno.test("edits: the body's limit is a setting, and other routes keep theirs", async () => {
  await serving({ settings: { maxUpload: 1 } }, async ({ client, origin }) => {
    const noise = await makeWebp(400, 400, () => Array.from({ length: 3 }, () => 255 * Math.random()), {
      lossless: true,
    });
    assert.ok(noise.length > 200_000);
    const { data } = await client.images.edit({ image: await file(noise, "a.webp"), prompt: "a cat" });
    assert.ok(bytesOf(data?.[0].b64_json).length > 0);
    const error = await failure(
      Error as never,
      client.images.edit({ image: await file(new Uint8Array(2 ** 20)), prompt: "a cat" }),
    ) as InstanceType<typeof BadRequestError>;
    assert.deepEqual([error.status, error.code], [413, "body_too_large"]);
    assert.match(error.message, /more than 1048576 bytes/);
    const other = await fetch(`${origin}/v1/images/generations`, { method: "POST", body: noise });
    assert.equal(other.status, 413);
    assert.match((await other.json()).error.message, /more than 65536 bytes/);
  });
});

Deno.test("edits: the metrics have the time of decoding", async () => {
  await serving({}, async ({ client, context }) => {
    await client.images.edit({ image: await file(await png(32)), prompt: "a cat" });
    assert.match(await context.metrics.text(), /decode_seconds_count 1/);
  });
});
