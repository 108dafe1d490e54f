import assert from "node:assert/strict";
import fc from "fast-check";
import { Image } from "imagescript";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { decodePng, encodePng } from "../../lib/image/png.ts";

/** The CRC of PNG's specification, one bit at a time. */
function crc(bytes: Uint8Array): number {
  let register = 0xffffffff;
  for (const byte of bytes) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? 0xedb88320 : 0);
  }
  return ~register >>> 0;
}

function chunksOf(png: Uint8Array): { type: string; data: Uint8Array; crcFits: boolean }[] {
  const view = new DataView(png.buffer, png.byteOffset);
  const chunks = [];
  for (let at = 8; at < png.length;) {
    const end = at + 12 + view.getUint32(at);
    const body = png.subarray(at + 4, end - 4);
    chunks.push({
      type: new TextDecoder().decode(body.subarray(0, 4)),
      data: body.subarray(4),
      crcFits: crc(body) === view.getUint32(end - 4),
    });
    at = end;
  }
  return chunks;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(bytes.length - 4, crc(bytes.subarray(4, -4)));
  return bytes;
}

function ramp(width: number, height: number): Uint8Array {
  return Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37) % 256);
}

Deno.test("a PNG comes back with the same pixels, size and text", async () => {
  const text = {
    class: "cat",
    seed: "7",
    note: "naïve façade",
    model: "läufe/模型 → 🐱",
    empty: "",
    lines: "a\nb",
  };
  const decoded = await decodePng(await encodePng(ramp(5, 3), 5, 3, text));
  assert.deepEqual(decoded, { width: 5, height: 3, rgb: ramp(5, 3), text });
});

Deno.test("any text without NUL comes back", async () => {
  const value = fc.string({ unit: "binary" }).filter((text) => !text.includes("\0"));
  await fc.assert(
    fc.asyncProperty(value, async (text) => {
      const decoded = await decodePng(await encodePng(ramp(1, 1), 1, 1, { text }));
      assert.equal(decoded.text.text, text);
    }),
    { numRuns: 50 },
  );
});

Deno.test("another reader sees the pixels that were written", async () => {
  const image = await Image.decode(await encodePng(ramp(7, 4), 7, 4, { class: "frog" }));
  assert.deepEqual([image.width, image.height], [7, 4]);
  const rgb = ramp(7, 4);
  for (let i = 0; i < 7 * 4; i++) {
    assert.deepEqual([...image.bitmap.subarray(i * 4, i * 4 + 4)], [...rgb.subarray(i * 3, i * 3 + 3), 255]);
  }
});

Deno.test("every chunk's checksum fits; Latin-1 text is tEXt, other text iTXt, before the pixels", async () => {
  const chunks = chunksOf(await encodePng(ramp(2, 2), 2, 2, { note: "é", model: "模" }));
  assert.deepEqual(chunks.map(({ type }) => type), ["IHDR", "tEXt", "iTXt", "IDAT", "IEND"]);
  assert.ok(chunks.every(({ crcFits }) => crcFits));
  assert.deepEqual([...chunks[1].data], [...new TextEncoder().encode("note"), 0, 0xe9]);
  const model = new TextEncoder().encode("model\0\0\0\0\0模");
  assert.deepEqual([...chunks[2].data], [...model]);
});

Deno.test("equal input gives equal bytes", async () => {
  const one = await encodePng(ramp(4, 4), 4, 4, { seed: "1" });
  assert.deepEqual(await encodePng(ramp(4, 4), 4, 4, { seed: "1" }), one);
});

Deno.test("transparency is laid over white", async () => {
  const image = new Image(3, 1);
  image.bitmap.set([10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 51]);
  const { rgb } = await decodePng(await image.encode());
  assert.deepEqual([...rgb], [10, 20, 30, 255, 255, 255, 204, 224, 255]);
});

Deno.test("a compressed iTXt chunk is passed over, the first of two equal keywords counts", async () => {
  const png = await encodePng(ramp(1, 1), 1, 1, { a: "first" });
  const extra = [
    chunk("tEXt", new TextEncoder().encode("a\0second")),
    chunk("iTXt", new TextEncoder().encode("b\0\x01\0\0\0not deflate")),
  ];
  const whole = new Uint8Array([...png.subarray(0, -12), ...extra[0], ...extra[1], ...png.subarray(-12)]);
  assert.deepEqual((await decodePng(whole)).text, { a: "first" });
});

Deno.test("a damaged PNG is refused with the position of the damage", async (t) => {
  const png = await encodePng(ramp(8, 8), 8, 8, { class: "dog" });
  const flipped = (at: number) => png.map((byte, index) => index === at ? byte ^ 1 : byte);
  const header = (width: number, height: number) => {
    const data = png.slice(16, 29);
    new DataView(data.buffer).setUint32(0, width);
    new DataView(data.buffer).setUint32(4, height);
    return new Uint8Array([...png.subarray(0, 8), ...chunk("IHDR", data), ...png.subarray(33)]);
  };
  const noPixels = new Uint8Array([
    ...png.subarray(0, 33),
    ...chunk("IDAT", new Uint8Array([1, 2])),
    ...png.subarray(-12),
  ]);
  const cases: [string, Uint8Array, RegExp][] = [
    ["not a PNG", new TextEncoder().encode("GIF89a"), /signature at byte 0/],
    ["empty", new Uint8Array(), /signature at byte 0/],
    ["signature only", png.subarray(0, 8), /chunk at byte 8 is not complete/],
    ["cut in the pixels", png.subarray(0, -20), /cut short/],
    ["end chunk missing", png.subarray(0, -12), /cut short/],
    ["bit flipped in the header", flipped(20), /IHDR chunk at byte 8/],
    ["bit flipped in the text", flipped(46), /tEXt chunk at byte 33/],
    ["a chunk longer than the file", flipped(33), /cut short/],
    ["no header", new Uint8Array([...png.subarray(0, 8), ...png.subarray(-12)]), /no IHDR/],
    ["no width", header(0, 8), /0 x 8 pixels/],
    ["a size to exhaust memory", header(65_535, 65_535), /65535 x 65535 pixels/],
    ["pixels that do not inflate", noPixels, /8 x 8 picture is damaged/],
  ];
  for (const [name, bytes, message] of cases) {
    await t.step(name, () =>
      assert.rejects(decodePng(bytes), (error) => {
        assert.ok(error instanceof DataError);
        assert.match(error.message, message);
        return true;
      }));
  }
});

Deno.test("sizes, keywords and text that a PNG cannot hold are refused by name", async (t) => {
  const pixel = ramp(1, 1);
  const cases: [string, () => Promise<unknown>, RegExp][] = [
    ["width 0", () => encodePng(pixel, 0, 1), /^width: /],
    ["height 1.5", () => encodePng(pixel, 1, 1.5), /^height: /],
    ["wrong byte count", () => encodePng(pixel, 2, 1), /^rgb.length: .* 6, got 3/],
    ["empty keyword", () => encodePng(pixel, 1, 1, { "": "x" }), /^text keyword: /],
    ["keyword of 80 characters", () => encodePng(pixel, 1, 1, { ["k".repeat(80)]: "x" }), /^text keyword: /],
    ["keyword beyond Latin-1", () => encodePng(pixel, 1, 1, { "模": "x" }), /^text keyword: /],
    ["keyword with two spaces", () => encodePng(pixel, 1, 1, { "a  b": "x" }), /^text keyword: /],
    ["keyword that ends in a space", () => encodePng(pixel, 1, 1, { "a ": "x" }), /^text keyword: /],
    ["NUL in a value", () => encodePng(pixel, 1, 1, { class: "a\0b" }), /^text class: /],
    ["half a surrogate pair", () => encodePng(pixel, 1, 1, { class: "\ud800" }), /^text class: /],
  ];
  for (const [name, call, message] of cases) {
    await t.step(name, () =>
      assert.rejects(call, (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, message);
        return true;
      }));
  }
});

Deno.test("a keyword of 79 characters is allowed", async () => {
  const keyword = "k".repeat(79);
  const { text } = await decodePng(await encodePng(ramp(1, 1), 1, 1, { [keyword]: "x" }));
  assert.deepEqual(text, { [keyword]: "x" });
});
