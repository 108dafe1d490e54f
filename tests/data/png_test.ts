import assert from "node:assert/strict";
import { crc32, deflateSync } from "node:zlib";
import { DataError } from "../../lib/errors.ts";
import { decodePng } from "../../lib/data/png.ts";
import { encodePng } from "../../lib/image/png.ts";

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(4, -4)));
  return bytes;
}

/** A PNG by the letter: rows of packed bits, each without a filter. */
function png(
  { width, rows, depth, colour, extra = [] }: {
    width: number;
    rows: number[][];
    depth: number;
    colour: number;
    extra?: Uint8Array[];
  },
): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, rows.length);
  header.set([depth, colour], 8);
  const data = deflateSync(Uint8Array.from(rows.flatMap((row) => [0, ...row])));
  return new Uint8Array([
    ...[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
    ...[chunk("IHDR", header), ...extra, chunk("IDAT", data), chunk("IEND", new Uint8Array())].flatMap((
      c,
    ) => [
      ...c,
    ]),
  ]);
}

const pixels = (bytes: Uint8Array): number[][] => {
  const { rgba } = decodePng(bytes, "a.png");
  return Array.from({ length: rgba.length / 4 }, (_, i) => [...rgba.subarray(4 * i, 4 * i + 4)]);
};
const grey = (value: number, alpha = 255) => [value, value, value, alpha];

Deno.test("every colour type and depth of PNG is read as 8 bits of red, green, blue and alpha", async (t) => {
  const cases: [string, Uint8Array, number[][]][] = [
    ["grey, 1 bit", png({ width: 3, rows: [[0b10100000], [0b01000000]], depth: 1, colour: 0 }), [
      ...[255, 0, 255].map((v) => grey(v)),
      ...[0, 255, 0].map((v) => grey(v)),
    ]],
    ["grey, 2 bits", png({ width: 5, rows: [[0b00011011, 0b01000000]], depth: 2, colour: 0 }), [
      ...[0, 85, 170, 255, 85].map((v) => grey(v)),
    ]],
    ["grey, 4 bits", png({ width: 3, rows: [[0x0f, 0x70]], depth: 4, colour: 0 }), [
      ...[0, 255, 119].map((v) => grey(v)),
    ]],
    ["grey, 8 bits", png({ width: 2, rows: [[7, 200]], depth: 8, colour: 0 }), [grey(7), grey(200)]],
    ["grey, 16 bits", png({ width: 2, rows: [[0x80, 0x7f, 0xff, 0xff]], depth: 16, colour: 0 }), [
      grey(128),
      grey(255),
    ]],
    ["colour, 8 bits", png({ width: 2, rows: [[1, 2, 3, 4, 5, 6]], depth: 8, colour: 2 }), [
      [1, 2, 3, 255],
      [4, 5, 6, 255],
    ]],
    ["grey and alpha", png({ width: 2, rows: [[9, 0, 9, 128]], depth: 8, colour: 4 }), [
      grey(9, 0),
      grey(9, 128),
    ]],
    ["colour and alpha", png({ width: 1, rows: [[1, 2, 3, 4]], depth: 8, colour: 6 }), [[1, 2, 3, 4]]],
    [
      "palette, 2 bits, with alpha",
      png({
        width: 3,
        rows: [[0b10000100]],
        depth: 2,
        colour: 3,
        extra: [
          chunk("PLTE", Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9)),
          chunk("tRNS", Uint8Array.of(255, 50)),
        ],
      }),
      [[7, 8, 9, 255], [1, 2, 3, 255], [4, 5, 6, 50]],
    ],
    [
      "grey of which one is transparent",
      png({
        width: 2,
        rows: [[7, 8]],
        depth: 8,
        colour: 0,
        extra: [chunk("tRNS", Uint8Array.of(0, 8))],
      }),
      [grey(7), grey(8, 0)],
    ],
    [
      "colours of which one is transparent",
      png({
        width: 3,
        rows: [[1, 2, 3, 1, 2, 4, 3, 2, 1]],
        depth: 8,
        colour: 2,
        extra: [chunk("tRNS", Uint8Array.of(0, 1, 0, 2, 0, 3))],
      }),
      [[1, 2, 3, 0], [1, 2, 4, 255], [3, 2, 1, 255]],
    ],
  ];
  for (const [name, bytes, expected] of cases) {
    await t.step(name, () => assert.deepEqual(pixels(bytes), expected));
  }
});

Deno.test("noise of 32 x 32, as hard to deflate as pictures, comes back exactly", async () => {
  // imagescript's reader refused about one such file in thousands.
  let state = 1;
  const random = () => (state = Math.imul(state, 1664525) + 1013904223 >>> 0) >>> 24;
  for (let i = 0; i < 50; i++) {
    const rgb = Uint8Array.from({ length: 3 * 32 * 32 }, () => random() >> (i % 8));
    const { rgba } = decodePng(await encodePng(rgb, 32, 32), "noise.png");
    for (let pixel = 0; pixel < 1024; pixel++) {
      for (let c = 0; c < 3; c++) assert.equal(rgba[4 * pixel + c], rgb[3 * pixel + c]);
    }
  }
});

Deno.test("a damaged PNG is refused, whatever the damage", async (t) => {
  const whole = await encodePng(Uint8Array.from({ length: 3 * 64 }, (_, i) => i), 8, 8, { class: "dog" });
  const header = whole.subarray(0, 33);
  const end = whole.subarray(-12);
  const few = deflateSync(new Uint8Array(3 * 25));
  const cases: [string, Uint8Array, RegExp][] = [
    ["no PNG", new TextEncoder().encode("GIF89a, and more than thirty bytes of it"), /not a PNG image/],
    ["signature only", whole.subarray(0, 8), /cut short after 8 bytes/],
    ["cut in the pixels", whole.subarray(0, -20), /a damaged PNG/],
    ["without its end", whole.subarray(0, -12), /a damaged PNG/],
    ["a flipped bit in the header", whole.map((byte, i) => i === 24 ? byte ^ 1 : byte), /a damaged PNG/],
    ["a flipped bit in the text", whole.map((byte, i) => i === 46 ? byte ^ 1 : byte), /a damaged PNG/],
    [
      "pixels that do not inflate",
      new Uint8Array([...header, ...chunk("IDAT", Uint8Array.of(1, 2)), ...end]),
      /a damaged PNG/,
    ],
    ["too few pixels", new Uint8Array([...header, ...chunk("IDAT", few), ...end]), /a damaged PNG/],
    ["no pixels", new Uint8Array([...header, ...end]), /a damaged PNG/],
  ];
  for (const [name, bytes, message] of cases) {
    await t.step(name, () =>
      assert.throws(() => decodePng(bytes, "x.png"), (error) => {
        assert.ok(error instanceof DataError);
        assert.match(error.message, /^x\.png: /);
        assert.match(error.message, message);
        return true;
      }));
  }
});
