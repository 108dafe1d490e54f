import assert from "node:assert/strict";
import { GIF } from "imagescript";
import { ConfigError } from "../../lib/errors.ts";
import { Animation, encodeGif } from "../../lib/image/animation.ts";
import { Images } from "../../lib/image/images.ts";
import { JUPYTER_DISPLAY } from "../../lib/image/jupyter.ts";

function frame(grey: number, width = 4, height = 3): Images {
  return new Images(new Uint8Array(width * height * 3).fill(grey), 1, height, width);
}

Deno.test("a GIF decodes to the same frames, size and delays", async () => {
  const gif = await GIF.decode(
    await encodeGif([frame(0), frame(128), frame(255)], { delayMs: 54, holdLastMs: 1500 }),
  );
  assert.deepEqual([gif.length, gif.width, gif.height], [3, 4, 3]);
  assert.deepEqual([...gif].map((one) => one.duration), [50, 50, 1500]);
  for (const [index, grey] of [0, 128, 255].entries()) {
    for (const [i, value] of gif[index].bitmap.entries()) {
      const expected = i % 4 === 3 ? 255 : grey;
      assert.ok(
        Math.abs(value - expected) <= 2,
        `frame ${index}, byte ${i}: ${value}, expected about ${expected}`,
      );
    }
  }
});

Deno.test("a GIF keeps the colours of an image of few colours", async () => {
  const pixels = new Uint8Array(16 * 16 * 3).map((_, i) => [255, 0, 0, 0, 128, 255][i % 6]);
  const [first] = await GIF.decode(await encodeGif([new Images(pixels, 1, 16, 16)]));
  for (let i = 0; i < pixels.length; i++) {
    const value = first.bitmap[Math.floor(i / 3) * 4 + i % 3];
    assert.ok(Math.abs(value - pixels[i]) <= 4, `byte ${i}: ${value}, expected about ${pixels[i]}`);
  }
});

Deno.test("a GIF keeps the steps of a grey ramp, and comes near the colours of noise", async () => {
  const size = 128;
  const ramp = new Uint8Array(size * size * 3).map((_, i) => Math.floor(i / 3) % 256);
  const noise = ramp.map((_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);
  const gif = await GIF.decode(
    await encodeGif([ramp, noise].map((pixels) => new Images(pixels, 1, size, size))),
  );
  const errors = [ramp, noise].map((pixels, frame) => {
    const off = Array.from(pixels, (value, i) => gif[frame].bitmap[Math.floor(i / 3) * 4 + i % 3] - value);
    return Math.sqrt(off.reduce((sum, error) => sum + error * error, 0) / off.length);
  });
  assert.ok(errors[0] < 3, `ramp: rms error ${errors[0]}`);
  assert.ok(errors[1] < 20, `noise: rms error ${errors[1]}`);
});

Deno.test("a GIF loops unless told not to", async () => {
  const loops = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes).includes("NETSCAPE2.0");
  assert.equal(loops(await encodeGif([frame(1), frame(2)])), true);
  assert.equal(loops(await encodeGif([frame(1), frame(2)], { loop: false })), false);
});

Deno.test("wrong frames and delays are refused by name", async (t) => {
  const two = Images.concat([frame(1), frame(2)]);
  const cases: [string, () => Promise<unknown>, string][] = [
    ["no frames", () => encodeGif([]), "frames.length"],
    ["a frame of two images", () => encodeGif([frame(1), two]), "frames[1].count"],
    ["frames of two sizes", () => encodeGif([frame(1), frame(1, 5)]), "frames[1]"],
    ["a delay of 0", () => encodeGif([frame(1)], { delayMs: 0 }), "delayMs"],
    ["a hold that is not a number", () => encodeGif([frame(1)], { holdLastMs: NaN }), "holdLastMs"],
  ];
  for (const [name, call, field] of cases) {
    await t.step(
      name,
      () => assert.rejects(call, (error) => error instanceof ConfigError && error.field === field),
    );
  }
});

Deno.test("an animation is the GIF of its frames, and a notebook shows it as an image element", async () => {
  const [frames, options] = [[frame(10), frame(200)], { delayMs: 300, loop: false }];
  const gif = await encodeGif(frames, options);
  const animation = new Animation(frames, options);
  assert.deepEqual(await animation.gif(), gif);
  assert.deepEqual(await animation[JUPYTER_DISPLAY](), {
    "text/html": `<img alt="animation of 2 frames" src="data:image/gif;base64,${gif.toBase64()}">`,
    "text/plain": "animation of 2 frames",
  });
});

Deno.test("an animation refuses wrong frames when it is made, not when it is shown", () => {
  assert.throws(() => new Animation([frame(1), frame(2, 5)]), {
    name: "ConfigError",
    message: /frames\[1\]/,
  });
  assert.throws(() => new Animation([frame(1)], { delayMs: 5 }), { name: "ConfigError", message: /delayMs/ });
});
