import assert from "node:assert/strict";
import { decodeImage } from "../../../lib/data/decode/decode.ts";
import { DataError } from "../../../lib/errors.ts";
import { makeJpeg, makeWebp } from "../../support/image_files.ts";
import { makePng } from "../../support/synthetic.ts";

const ORANGE = [240, 120, 30];
const TEAL = [20, 130, 140];
/** Orange on the left, teal on the right. */
const halves = (x: number) => x < 8 ? ORANGE : TEAL;

/** Checks a pixel to within what lossy formats change. */
function near(found: ArrayLike<number>, at: number, expected: readonly number[]): void {
  for (const [c, value] of [...expected, 255].slice(0, 4).entries()) {
    assert.ok(Math.abs(found[at + c] - value) <= 6, `channel ${c}: ${found[at + c]}, expected ${value}`);
  }
}

async function isHalves(bytes: Uint8Array<ArrayBuffer>, left = ORANGE, right = TEAL): Promise<void> {
  const { width, height, rgba } = await decodeImage(bytes, "a.png");
  assert.deepEqual([width, height, rgba.length], [16, 16, 1024]);
  for (const y of [0, 7, 15]) {
    near(rgba, 4 * (16 * y + 2), left);
    near(rgba, 4 * (16 * y + 13), right);
  }
}

Deno.test("PNG, JPEG and WebP are recognised by content, not by name", async (t) => {
  const grey = (rgb: number[]) => new Array(3).fill(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]);
  await t.step("PNG", async () => isHalves(Uint8Array.from(await makePng(16, 16, halves))));
  await t.step("JPEG", async () => isHalves(await makeJpeg(16, 16, halves)));
  await t.step("progressive JPEG", async () => {
    await isHalves(await makeJpeg(16, 16, halves, { progressive: true }));
  });
  await t.step("grey JPEG", async () => {
    await isHalves(await makeJpeg(16, 16, halves, { grey: true }), grey(ORANGE), grey(TEAL));
  });
  await t.step(
    "CMYK JPEG",
    () => isHalves(Deno.readFileSync(new URL("../fixtures/cmyk.jpg", import.meta.url))),
  );
  await t.step("lossy WebP", async () => isHalves(await makeWebp(16, 16, halves)));
  await t.step("lossless WebP", async () => isHalves(await makeWebp(16, 16, halves, { lossless: true })));
  await t.step("bytes after the end of a JPEG", async () => {
    await isHalves(Uint8Array.from([...await makeJpeg(16, 16, halves), ...new Uint8Array(50)]));
  });
  await t.step("bytes between segments of a JPEG", async () => {
    const jpeg = await makeJpeg(16, 16, halves);
    const first = 4 + (jpeg[4]! << 8 | jpeg[5]!); // after its first segment
    await isHalves(Uint8Array.from([...jpeg.subarray(0, first), 1, 2, 3, ...jpeg.subarray(first)]));
  });
  await t.step("part of a larger buffer", async () => {
    for (const image of [await makeJpeg(16, 16, halves), await makeWebp(16, 16, halves)]) {
      const larger = new Uint8Array(image.length + 20);
      larger.set(image, 10);
      await isHalves(larger.subarray(10, 10 + image.length));
    }
  });
});

Deno.test("a limit on the pixels holds for the header of every format", async () => {
  const all = [await makePng(16, 16, halves), await makeJpeg(16, 16, halves), await makeWebp(16, 16, halves)];
  for (const bytes of all.map((image) => Uint8Array.from(image))) {
    assert.equal((await decodeImage(bytes, "image", 256)).width, 16);
    const message = /^image: 16 x 16 pixels, expected at most 16384 a side and 255 in all$/;
    await assert.rejects(decodeImage(bytes, "image", 255), { name: "DataError", message });
  }
});

Deno.test("transparency of a WebP is kept", async () => {
  const webp = await makeWebp(4, 1, (x) => [10, 20, 30, 85 * x], { lossless: true });
  const { rgba } = await decodeImage(webp, "a.webp");
  assert.deepEqual([...rgba].filter((_, i) => i % 4 === 3), [0, 85, 170, 255]);
});

/** The JPEG with an EXIF segment that says how it must be turned. */
function turned(jpeg: Uint8Array, orientation: number): Uint8Array<ArrayBuffer> {
  const tiff = [0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
  const exif = [...new TextEncoder().encode("Exif\0\0"), ...tiff, 0, 0, 0, 0];
  return Uint8Array.from([0xff, 0xd8, 0xff, 0xe1, 0, exif.length + 2, ...exif, ...jpeg.subarray(2)]);
}

Deno.test("a JPEG is turned upright as its EXIF data says", async () => {
  const jpeg = await makeJpeg(16, 8, halves);
  const { width, height, rgba } = await decodeImage(turned(jpeg, 6), "a.jpg");
  assert.deepEqual([width, height], [8, 16]);
  near(rgba, 4 * (8 * 2 + 4), ORANGE); // what was left is above
  near(rgba, 4 * (8 * 13 + 4), TEAL);
});

const JPEG = await makeJpeg(64, 64, (x, y) => [x * 4, y * 4, (x * y) % 256]);
const PROGRESSIVE = await makeJpeg(64, 64, (x, y) => [x * 4, y * 4, (x * y) % 256], { progressive: true });
const WEBP = await makeWebp(64, 64, (x, y) => [x * 4, y * 4, (x * y) % 256]);
const text = (value: string) => new TextEncoder().encode(value);

/** Offset of the frame header of a JPEG. */
function frameOf(jpeg: Uint8Array): number {
  return jpeg.findIndex((byte, i) => byte === 0xff && (jpeg[i + 1] === 0xc0 || jpeg[i + 1] === 0xc2));
}

/** The JPEG with other dimensions in its frame header. */
function claiming(jpeg: Uint8Array, height: number, width: number): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(jpeg);
  const view = new DataView(copy.buffer);
  view.setUint16(frameOf(jpeg) + 5, height);
  view.setUint16(frameOf(jpeg) + 7, width);
  return copy;
}

/** A WebP of one chunk. */
function webpOf(name: string, data: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from([...text("RIFF\0\0\0\0WEBP"), ...text(name), 0, 0, 0, 0, ...data]);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, bytes.length - 8, true);
  view.setUint32(16, data.length, true);
  return bytes;
}

/** Offset of the last scan of a JPEG. */
function lastScan(jpeg: Uint8Array): number {
  return jpeg.findLastIndex((byte, i) => byte === 0xff && jpeg[i + 1] === 0xda);
}

/** A JPEG whose last scan is there again and again. */
function repeatedScan(jpeg: Uint8Array, times: number): Uint8Array<ArrayBuffer> {
  const scan = lastScan(jpeg);
  const repeated = Array.from({ length: times }, () => [...jpeg.subarray(scan, -2)]).flat();
  return Uint8Array.from([...jpeg.subarray(0, scan), ...repeated, 0xff, 0xd9]);
}

Deno.test("files that cannot be decoded are described by their content", async (t) => {
  const second = JPEG.subarray(frameOf(JPEG), frameOf(JPEG) + 19);
  const cases: [string, Uint8Array<ArrayBuffer>, RegExp][] = [
    ["nothing", new Uint8Array(), /an empty file; expected a PNG, JPEG, WebP or GIF image$/],
    ["an HTML page", text("\ufeff\n <!DOCTYPE html>\n<title>404</title>"), /an HTML page; expected/],
    ["an HTML page in capitals", text("<HTML><BODY>gone"), /an HTML page; expected/],
    ["an XML document", text('<?xml version="1.0"?><Error/>'), /an XML or SVG document/],
    ["a JSON text", text('{"error": "not found"}'), /a JSON text/],
    [
      "a Git LFS pointer",
      text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
      /a Git LFS pointer, not the file itself \(fetch it with: git lfs pull\)/,
    ],
    ["a BMP", text("BM....\0\0\0\0"), /a BMP image, which is not supported/],
    ["a HEIC", text("\0\0\0\x18ftypheic\0\0\0\0"), /a HEIC image/],
    ["an AVIF", text("\0\0\0\x18ftypavif\0\0\0\0"), /an AVIF image/],
    ["a TIFF", text("II*\0\0\0\0\0"), /a TIFF image/],
    ["zeros", new Uint8Array(1000), /nothing but zero bytes/],
    ["a sound", text("OggS and more"), /not an image/],
    ["a JPEG cut in its header", JPEG.slice(0, 100), /a JPEG cut short after 100 bytes/],
    ["a JPEG cut in its pixels", JPEG.slice(0, -200), /a JPEG cut short after \d+ bytes/],
    ["a JPEG without its end", JPEG.slice(0, -2), /a JPEG cut short/],
    [
      "a progressive JPEG cut between two scans",
      PROGRESSIVE.slice(0, lastScan(PROGRESSIVE)),
      /cut short/,
    ],
    ["a JPEG of its signature", JPEG.slice(0, 3), /a JPEG cut short after 3 bytes/],
    ["a JPEG of 0 columns", claiming(JPEG, 64, 0), /0 x 64 pixels, expected at least 1 x 1/],
    ["a JPEG too wide", claiming(JPEG, 64, 20_000), /20000 x 64 pixels, expected at most 16384 a side/],
    ["a JPEG too large", claiming(JPEG, 9000, 9000), /9000 x 9000 pixels, .* and 67108864 in all/],
    ["a JPEG of 101 scans", repeatedScan(JPEG, 101), /a damaged JPEG: more than 100 scans/],
    [
      "a JPEG with two frame headers",
      Uint8Array.from([0xff, 0xd8, ...second, ...JPEG.subarray(2)]),
      /a damaged JPEG: it has two frame headers/,
    ],
    [
      "a JPEG with a segment of no bytes",
      Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 0, 0xff, 0xd9),
      /a segment of 0 bytes/,
    ],
    ["a JPEG without a frame", Uint8Array.of(0xff, 0xd8, 0xff, 0xd9), /it has no frame header/],
    [
      "a JPEG with nothing but junk after a segment",
      Uint8Array.of(0xff, 0xd8, 0xff, 0xfe, 0, 2, 7, 7),
      /a JPEG cut short after 8 bytes/,
    ],
    [
      "a JPEG that ends in the midst of its pixels",
      Uint8Array.from([...JPEG.subarray(0, JPEG.length / 2), 0xff, 0xd9]),
      /a damaged JPEG: .*premature end of data segment/,
    ],
    [
      "a JPEG of 12 bits",
      JPEG.map((byte, i) => i === frameOf(JPEG) + 4 ? 12 : byte),
      /a damaged JPEG: Unsupported JPEG data precision 12/,
    ],
    ["a WebP cut short", WEBP.slice(0, -20), /a WebP cut short: \d+ bytes of \d+/],
    ["a WebP without an image", webpOf("EXIF", [1, 2, 3, 4]), /a damaged WebP: no image in it/],
    [
      "a WebP with a chunk beyond its end",
      webpOf("VP8 ", []).map((byte, i) => i === 16 ? 9 : byte),
      /no image in it/,
    ],
    [
      "an animated WebP without frames",
      webpOf("VP8X", [2, 0, 0, 0, 7, 0, 0, 7, 0, 0]),
      /a damaged WebP: no image in it/,
    ],
    [
      "a WebP with a canvas too large",
      webpOf("VP8X", [0, 0, 0, 0, 255, 255, 255, 7, 0, 0]),
      /16777216 x 8 pixels/,
    ],
    [
      "a lossy WebP too large",
      webpOf("VP8 ", [0, 0, 0, 0x9d, 1, 0x2a, 0xff, 0x3f, 0xff, 0x3f]),
      /16383 x 16383 pixels/,
    ],
    ["a lossless WebP too large", webpOf("VP8L", [0x2f, 0xff, 0xff, 0xff, 0x0f]), /16384 x 16384 pixels/],
    [
      "a WebP of noise",
      webpOf("VP8L", [0x2f, 7, 0xc0, 1, 0, 9, 9, 9]),
      /a damaged WebP: its pixels cannot be/,
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
  await t.step("and the next good ones are decoded", async () => {
    for (const image of [JPEG, PROGRESSIVE, WEBP]) assert.equal((await decodeImage(image, "x")).width, 64);
  });
});

Deno.test("a byte changed anywhere gives an image or a DataError", async () => {
  for (const image of [JPEG, PROGRESSIVE, WEBP, Uint8Array.from(await makePng(16, 16, halves))]) {
    for (let at = 0; at < image.length; at += at < 700 ? 5 : 97) {
      for (const value of [0, 0xff, image[at] ^ 0x10]) {
        const bytes = Uint8Array.from(image);
        bytes[at] = value;
        await decodeImage(bytes, "x").catch((error) => assert.ok(error instanceof DataError, String(error)));
      }
    }
  }
});
