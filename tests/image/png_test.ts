import assert from "node:assert/strict";
import fc from "fast-check";
import { Image } from "imagescript";
import { ConfigError } from "../../lib/errors.ts";
import { encodePng } from "../../lib/image/png.ts";
import { chunksOf, decodePng } from "../support/read_png.ts";

/** The CRC of PNG's specification, one bit at a time. */
function checksum(bytes: Uint8Array): number {
  let register = 0xffffffff;
  for (const byte of bytes) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? 0xedb88320 : 0);
  }
  return ~register >>> 0;
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
  const decoded = decodePng(await encodePng(ramp(5, 3), 5, 3, text));
  assert.deepEqual(decoded, { width: 5, height: 3, rgb: ramp(5, 3), text });
});

Deno.test("any text without NUL comes back", async () => {
  const value = fc.string({ unit: "binary" }).filter((text) => !text.includes("\0"));
  await fc.assert(
    fc.asyncProperty(value, async (text) => {
      const decoded = decodePng(await encodePng(ramp(1, 1), 1, 1, { text }));
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
  for (const { type, data, crc } of chunks) {
    assert.equal(checksum(new Uint8Array([...new TextEncoder().encode(type), ...data])), crc, type);
  }
  assert.deepEqual([...chunks[1].data], [...new TextEncoder().encode("note"), 0, 0xe9]);
  const model = new TextEncoder().encode("model\0\0\0\0\0模");
  assert.deepEqual([...chunks[2].data], [...model]);
});

Deno.test("equal input gives equal bytes", async () => {
  const one = await encodePng(ramp(4, 4), 4, 4, { seed: "1" });
  assert.deepEqual(await encodePng(ramp(4, 4), 4, 4, { seed: "1" }), one);
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
  const { text } = decodePng(await encodePng(ramp(1, 1), 1, 1, { [keyword]: "x" }));
  assert.deepEqual(text, { [keyword]: "x" });
});
