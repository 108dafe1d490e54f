import assert from "node:assert/strict";
import { deflateSync } from "node:zlib";
import { decodeImage } from "../../../lib/data/decode/decode.ts";
import { plainPng } from "../../../lib/data/decode/png.ts";
import { DataError } from "../../../lib/errors.ts";
import { encodePng } from "../../../lib/image/png.ts";
import {
  deflatedZeros,
  pngChunk,
  pngFile,
  type PngHeader,
  pngHeader,
  pngOf,
  pngRows,
} from "../../support/png_files.ts";

async function pixels(bytes: Uint8Array<ArrayBuffer>): Promise<number[][]> {
  const { rgba, width, height } = await decodeImage(bytes, "a.png");
  assert.equal(rgba.length, 4 * width * height);
  return Array.from({ length: rgba.length / 4 }, (_, i) => [...rgba.subarray(4 * i, 4 * i + 4)]);
}

/** Samples that differ from pixel to pixel and use the whole range of the depth. */
function mixed({ depth, colour }: PngHeader, channels: number) {
  const largest = colour === 3 ? Math.min(2 ** depth - 1, 199) : 2 ** depth - 1;
  return (x: number, y: number) =>
    Array.from({ length: channels }, (_, c) => (x * 7919 + y * 104_729 + c * 1299_709) % (largest + 1));
}

const PALETTE = Array.from({ length: 200 }, (_, i) => [i, 255 - i, i * 3 % 256]);

/** Value of a pixel of these samples, by the standard. */
function meant(samples: readonly number[], { depth, colour }: PngHeader): number[] {
  if (colour === 3) return [...PALETTE[samples[0]], 255];
  // 16 bits are stripped to their upper byte, as libpng does.
  const values = samples.map((v) => depth === 16 ? v >> 8 : Math.round(v * 255 / (2 ** depth - 1)));
  const alpha = colour >= 4 ? values.pop()! : 255;
  return values.length === 1 ? [values[0], values[0], values[0], alpha] : [...values, alpha];
}

Deno.test("every colour type, depth and size of PNG is read, interlaced or not", async (t) => {
  const kinds: [number, number, number[]][] = [
    [0, 1, [1, 2, 4, 8, 16]],
    [2, 3, [8, 16]],
    [3, 1, [1, 2, 4, 8]],
    [4, 2, [8, 16]],
    [6, 4, [8, 16]],
  ];
  for (const [colour, channels, depths] of kinds) {
    for (const depth of depths) {
      for (const interlaced of [false, true]) {
        await t.step(`colour type ${colour}, ${depth} bits${interlaced ? ", interlaced" : ""}`, async () => {
          for (const [width, height] of [[1, 1], [3, 2], [5, 9], [16, 11]]) {
            const header = { width, height, depth, colour, interlaced };
            const samples = mixed(header, channels);
            const palette = PALETTE.slice(0, 2 ** depth).flat();
            const before = colour === 3 ? [pngChunk("PLTE", Uint8Array.from(palette))] : [];
            const expected = Array.from(
              { length: width * height },
              (_, i) => meant(samples(i % width, Math.floor(i / width)), header),
            );
            assert.deepEqual(await pixels(pngFile(header, samples, before)), expected, `${width}x${height}`);
          }
        });
      }
    }
  }
});

Deno.test("colours that tRNS makes transparent are", async (t) => {
  const grey = { width: 2, height: 1, depth: 8, colour: 0 };
  const cases: [string, Uint8Array<ArrayBuffer>, number[][]][] = [
    [
      "a grey",
      pngFile(grey, (x) => [7 + x], [pngChunk("tRNS", Uint8Array.of(0, 8))]),
      [[7, 7, 7, 255], [8, 8, 8, 0]],
    ],
    [
      "a colour",
      pngFile({ ...grey, colour: 2 }, (x) => [1, 2, 3 + x], [
        pngChunk("tRNS", Uint8Array.of(0, 1, 0, 2, 0, 3)),
      ]),
      [[1, 2, 3, 0], [1, 2, 4, 255]],
    ],
    [
      "entries of a palette",
      pngFile({ ...grey, width: 3, depth: 2, colour: 3 }, (x) => [x], [
        pngChunk("PLTE", Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9)),
        pngChunk("tRNS", Uint8Array.of(255, 50)),
      ]),
      [[1, 2, 3, 255], [4, 5, 6, 50], [7, 8, 9, 255]],
    ],
    [
      "more entries than the palette has",
      pngFile({ ...grey, width: 1, depth: 1, colour: 3 }, () => [0], [
        pngChunk("PLTE", Uint8Array.of(1, 2, 3)),
        pngChunk("tRNS", Uint8Array.of(9, 9, 9, 9)),
      ]),
      [[1, 2, 3, 9]],
    ],
    ["of a length that fits no colour", pngFile(grey, (x) => [x], [pngChunk("tRNS", Uint8Array.of(1))]), [
      [0, 0, 0, 255],
      [1, 1, 1, 255],
    ]],
  ];
  for (const [name, bytes, expected] of cases) {
    await t.step(name, async () => assert.deepEqual(await pixels(bytes), expected));
  }
});

Deno.test("noise of 32 x 32, as hard to deflate as pictures, comes back exactly", async () => {
  let state = 1;
  const random = () => (state = Math.imul(state, 1664525) + 1013904223 >>> 0) >>> 24;
  for (let i = 0; i < 50; i++) {
    const rgb = Uint8Array.from({ length: 3 * 32 * 32 }, () => random() >> (i % 8));
    const read = await pixels(Uint8Array.from(await encodePng(rgb, 32, 32)));
    assert.deepEqual(read.flatMap(([r, g, b]) => [r, g, b]), [...rgb]);
  }
});

const SMALL = { width: 8, height: 8, depth: 8, colour: 2 };
const HEADER = pngHeader(SMALL);
const ROWS = pngRows(SMALL, (x, y) => [x, y, 100]);
const DATA = pngChunk("IDAT", deflateSync(ROWS));
const END = pngChunk("IEND");
const EXPECTED = Array.from({ length: 64 }, (_, i) => [i % 8, Math.floor(i / 8), 100, 255]);

Deno.test("faults that other readers tolerate are tolerated", async (t) => {
  const broken = (type: string, data: Uint8Array) => {
    const chunk = pngChunk(type, data);
    chunk[chunk.length - 1] ^= 1; // its checksum
    return chunk;
  };
  const text = new TextEncoder();
  const stream = deflateSync(ROWS);
  const cases: [string, Uint8Array<ArrayBuffer>][] = [
    [
      "a colour profile that does not inflate",
      pngOf(HEADER, pngChunk("iCCP", text.encode("x\0\0junk")), DATA, END),
    ],
    ["a colour profile without a name", pngOf(HEADER, pngChunk("iCCP"), DATA, END)],
    ["a wrong checksum of a text", pngOf(HEADER, broken("tEXt", text.encode("a\0b")), DATA, END)],
    ["a wrong checksum of tRNS", pngOf(HEADER, broken("tRNS", new Uint8Array(6)), DATA, END)],
    ["no end", pngOf(HEADER, DATA)],
    ["an end cut short", pngOf(HEADER, DATA, END.subarray(0, 7))],
    [
      "a text cut short after the pixels",
      pngOf(HEADER, DATA, pngChunk("tEXt", new Uint8Array(99)).subarray(0, 40)),
    ],
    ["a checksum of the pixels cut off", pngOf(HEADER, DATA.subarray(0, -2))],
    ["bytes after the end", pngOf(HEADER, DATA, END, new Uint8Array(100))],
    [
      "rows after the last",
      pngOf(HEADER, pngChunk("IDAT", deflateSync(Uint8Array.from([...ROWS, ...ROWS]))), END),
    ],
    [
      "pixels in pieces, empty ones too",
      pngOf(
        HEADER,
        ...[0, 1, 1, 40].map((at, i, all) => pngChunk("IDAT", stream.subarray(at, all[i + 1]))),
        END,
      ),
    ],
    ["a palette that is not needed", pngOf(HEADER, pngChunk("PLTE", Uint8Array.of(1, 2, 3)), DATA, END)],
  ];
  for (const [name, bytes] of cases) {
    await t.step(name, async () => assert.deepEqual(await pixels(bytes), EXPECTED));
  }
});

Deno.test("a damaged PNG is refused, and a PNG cut short is called cut short", async (t) => {
  const whole = pngOf(HEADER, DATA, END);
  const flipped = (at: number) => whole.map((byte, i) => i === at ? byte ^ 1 : byte);
  const indexed = { ...SMALL, colour: 3 };
  const indices = pngChunk("IDAT", deflateSync(pngRows(indexed, () => [0])));
  const cases: [string, Uint8Array<ArrayBuffer>, RegExp][] = [
    ["signature only", whole.slice(0, 8), /a PNG cut short after 8 bytes/],
    ["cut in the header", whole.slice(0, 30), /a PNG cut short after 30 bytes/],
    ["cut after the header", whole.slice(0, 33), /a PNG cut short: .* the last of its 8 x 8 pixels/],
    ["cut in the pixels", whole.slice(0, 33 + 8 + 20), /a PNG cut short/],
    [
      "cut between two pieces of pixels",
      pngOf(HEADER, pngChunk("IDAT", DATA.subarray(8, 30))),
      /a PNG cut short/,
    ],
    ["a flipped bit in the header", flipped(24), /a damaged PNG: the checksum of its IHDR chunk/],
    ["a flipped bit in the pixels", flipped(50), /a damaged PNG: the checksum of its IDAT chunk at byte 33/],
    ["a flipped bit in a chunk's name", flipped(37), /a damaged PNG/],
    [
      "a chunk without a name",
      pngOf(HEADER, pngChunk("\0\0\0\0"), DATA, END),
      /byte 37 is not the name of a chunk/,
    ],
    ["another chunk first", pngOf(DATA, HEADER, END), /it begins with IDAT, expected IHDR/],
    [
      "an unknown critical chunk",
      pngOf(HEADER, pngChunk("CgBI"), DATA, END),
      /an unknown critical chunk, CgBI/,
    ],
    [
      "pixels that do not inflate",
      pngOf(HEADER, pngChunk("IDAT", Uint8Array.of(1, 2)), END),
      /does not inflate/,
    ],
    [
      "too few pixels",
      pngOf(HEADER, pngChunk("IDAT", deflateSync(ROWS.subarray(25))), END),
      /a damaged PNG: .*ends before/,
    ],
    ["no pixels", pngOf(HEADER, END), /a damaged PNG: its image data ends before/],
    [
      "a filter that does not exist",
      pngOf(HEADER, pngChunk("IDAT", deflateSync(ROWS.map((byte, i) => i === 25 ? 9 : byte))), END),
      /its rows of pixels cannot be decoded/,
    ],
    [
      "0 x 0 pixels",
      pngFile({ ...SMALL, width: 0, height: 0 }, () => []),
      /0 x 0 pixels, expected at least 1 x 1/,
    ],
    ["8 x 0 pixels", pngFile({ ...SMALL, height: 0 }, () => []), /8 x 0 pixels, expected at least/],
    [
      "a palette that is missing",
      pngOf(pngHeader(indexed), indices, END),
      /a palette \(PLTE\), which is missing/,
    ],
    [
      "a palette after the pixels",
      pngOf(pngHeader(indexed), indices, pngChunk("PLTE", new Uint8Array(3)), END),
      /a palette \(PLTE\), which is missing/,
    ],
    [
      "a palette of four bytes",
      pngOf(pngHeader(indexed), pngChunk("PLTE", new Uint8Array(4)), indices, END),
      /its palette has 4 bytes, expected 3 to 768/,
    ],
    [
      "a depth that does not exist",
      pngOf(pngHeader({ ...SMALL, depth: 4 }), DATA, END),
      /colour type 2 with 4 bits/,
    ],
    [
      "a side above the limit",
      pngOf(pngHeader({ ...SMALL, width: 16_385 }), DATA, END),
      /16385 x 8 pixels, expected at most 16384 a side/,
    ],
    [
      "too many pixels",
      pngOf(pngHeader({ ...SMALL, width: 16_384, height: 4097 }), DATA, END),
      /16384 x 4097 pixels, expected at most 16384 a side and 67108864 in all/,
    ],
  ];
  for (const [name, bytes, message] of cases) {
    await t.step(name, () =>
      assert.rejects(decodeImage(bytes, "x.png"), (error) => {
        assert.ok(error instanceof DataError, String(error));
        assert.match(error.message, /^x\.png: /);
        assert.match(error.message, message);
        return true;
      }));
  }
});

Deno.test("a gigabyte of zeros in 1 MB of image data is refused after the bytes that the header allows", () => {
  const bomb = pngOf(HEADER, pngChunk("IDAT", deflatedZeros(2 ** 30)), END);
  assert.ok(bomb.length < 2 ** 21);
  const message = /^DataError: x\.png: .* inflates to more than the 200 bytes of its 8 x 8 pixels$/;
  assert.throws(() => plainPng(bomb, "x.png"), message);
});

Deno.test("bombs in ancillary chunks are skipped unread", async () => {
  const bomb = deflatedZeros(2 ** 28);
  const chunk = (type: string, head: string) =>
    pngChunk(type, Uint8Array.from([...new TextEncoder().encode(head), ...bomb]));
  const chunks = [chunk("iCCP", "x\0\0"), chunk("zTXt", "x\0\0"), chunk("iTXt", "x\0\x01\0\0\0")];
  const file = pngOf(HEADER, ...chunks, DATA, END);
  assert.deepEqual(await pixels(file), EXPECTED);
  assert.equal(plainPng(file, "x.png").bytes.length, pngOf(HEADER, DATA, END).length);
});
