import assert from "node:assert/strict";
import gifenc from "gifenc";
import { decodeImage } from "../../../lib/data/decode/decode.ts";

const PALETTE = [[200, 0, 0], [0, 150, 0], [0, 0, 100], [9, 9, 9]];

/** A GIF of 8 x 4 pixels, whose first frame has colour `x % 4`. */
function makeGif(options: { frames?: number; transparentIndex?: number } = {}): Uint8Array<ArrayBuffer> {
  const { frames = 1, transparentIndex } = options;
  const gif = gifenc.GIFEncoder();
  for (let frame = 0; frame < frames; frame++) {
    const indices = Uint8Array.from({ length: 32 }, (_, i) => (i + frame) % 4);
    const transparent = transparentIndex !== undefined;
    gif.writeFrame(indices, 8, 4, { palette: PALETTE, transparent, transparentIndex });
  }
  gif.finish();
  return Uint8Array.from(gif.bytes());
}

/** Position of the first image descriptor in {@linkcode makeGif}'s. */
const frameAt = (gif: Uint8Array) => gif.indexOf(0x2c, 13 + 3 * 4);

const pixel = (rgba: ArrayLike<number>, at: number) => Array.from({ length: 4 }, (_, c) => rgba[4 * at + c]);

Deno.test("a GIF's first frame is decoded, its transparent colour, too", async () => {
  for (const frames of [1, 3]) {
    const { width, height, rgba, traits } = await decodeImage(makeGif({ frames }), "x.gif");
    assert.deepEqual([width, height, traits], [8, 4, []]);
    for (let at = 0; at < 32; at++) assert.deepEqual(pixel(rgba, at), [...PALETTE[at % 4]!, 255]);
  }
  const { rgba, traits } = await decodeImage(makeGif({ transparentIndex: 2 }), "x.gif");
  assert.deepEqual(traits, ["transparent"]);
  for (let at = 0; at < 32; at++) assert.equal(rgba[4 * at + 3], at % 4 === 2 ? 0 : 255, `pixel ${at}`);
});

Deno.test("a GIF's frame that is smaller than its canvas leaves the rest transparent", async () => {
  const gif = makeGif();
  const large = gif.slice();
  large.set([10, 0, 6, 0], 6); // the canvas
  large.set([1, 0, 2, 0], frameAt(gif) + 1); // left, top
  const { width, height, rgba } = await decodeImage(large, "x.gif");
  assert.deepEqual([width, height], [10, 6]);
  for (let at = 0; at < 60; at++) {
    const [x, y] = [at % 10, Math.floor(at / 10)];
    const inside = x >= 1 && x < 9 && y >= 2;
    assert.deepEqual(pixel(rgba, at), inside ? [...PALETTE[(x - 1 + 8 * (y - 2)) % 4]!, 255] : [0, 0, 0, 0]);
  }
});

Deno.test("a second frame that is damaged or cut short does not matter", async () => {
  const gif = makeGif({ frames: 2 });
  const first = makeGif();
  const { rgba } = await decodeImage(gif.slice(0, first.length + 5), "x.gif");
  assert.deepEqual(pixel(rgba, 1), [...PALETTE[1]!, 255]);
});

Deno.test("a GIF that is cut short, damaged or too large is named so", async () => {
  const gif = makeGif();
  const at = frameAt(gif);
  for (let length = 6; length < gif.length - 1; length++) {
    await assert.rejects(
      decodeImage(gif.slice(0, length), "x.gif"),
      /^DataError: x\.gif: a GIF cut short after \d+ bytes$/,
    );
  }
  const changed = (change: Readonly<Record<number, number>>) => {
    const copy = gif.slice();
    for (const [position, value] of Object.entries(change)) copy[Number(position)] = value;
    return copy;
  };
  const cases: [Uint8Array<ArrayBuffer>, RegExp][] = [
    [changed({ [at]: 0x3b }), /a damaged GIF: no image in it$/],
    [changed({ [at + 5]: 9 }), /a damaged GIF: a frame of 9 x 4 at \(0, 0\) on 8 x 4 pixels$/],
    [changed({ 6: 0, 7: 0 }), /0 x 4 pixels, expected at least 1 x 1$/],
    [changed({ 7: 0xff }), /65288 x 4 pixels, expected at most 16384 a side/],
    // The data ends after its first block, with pixels missing.
    [Uint8Array.from([...gif.slice(0, at + 10), 2, 2, 0x4c, 0x01, 0, 0x3b]), /a damaged GIF: /],
  ];
  for (const [bytes, message] of cases) await assert.rejects(decodeImage(bytes, "x.gif"), message);
});
