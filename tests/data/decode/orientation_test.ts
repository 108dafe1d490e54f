import assert from "node:assert/strict";
import { decodeImage } from "../../../lib/data/decode/decode.ts";
import { exifOrientation, type Orientation, turnUpright } from "../../../lib/data/decode/orientation.ts";
import { makeJpeg, makeWebp } from "../../support/image_files.ts";
import { pngChunk, pngFile } from "../../support/png_files.ts";

/** Width, height and values of the image 1 2 3 / 4 5 6, upright, by Pillow's `ImageOps.exif_transpose`. */
const UPRIGHT: Readonly<Record<Orientation, [number, number, string]>> = {
  1: [3, 2, "123456"],
  2: [3, 2, "321654"],
  3: [3, 2, "654321"],
  4: [3, 2, "456123"],
  5: [2, 3, "142536"],
  6: [2, 3, "415263"],
  7: [2, 3, "635241"],
  8: [2, 3, "362514"],
};

const ORIENTATIONS = Object.keys(UPRIGHT).map((key) => Number(key) as Orientation);

/** EXIF data, big or little endian, with the orientation as its second entry. */
function exifOf(orientation: number, little = false): number[] {
  const bytes = new Uint8Array(8 + 2 + 2 * 12 + 4);
  const view = new DataView(bytes.buffer);
  bytes.set(little ? [0x49, 0x49] : [0x4d, 0x4d]);
  view.setUint16(2, 42, little);
  view.setUint32(4, 8, little);
  view.setUint16(8, 2, little);
  for (const [i, [tag, value]] of [[0x010f, 1], [0x0112, orientation]].entries()) {
    view.setUint16(10 + 12 * i, tag, little);
    view.setUint16(12 + 12 * i, 3, little);
    view.setUint32(14 + 12 * i, 1, little);
    view.setUint16(18 + 12 * i, value, little);
  }
  return [...bytes];
}

Deno.test("turnUpright: all eight orientations of EXIF", () => {
  const rgba = Uint8Array.from([1, 2, 3, 4, 5, 6].flatMap((value) => [value, 0, 0, 255]));
  for (const orientation of ORIENTATIONS) {
    const { width, height, data } = turnUpright({ width: 3, height: 2, data: rgba }, orientation);
    const reds = [...data].filter((_, i) => i % 4 === 0).join("");
    assert.deepEqual([width, height, reds], UPRIGHT[orientation], `${orientation}`);
  }
});

Deno.test("exifOrientation: in either byte order, and 1 where it is damaged or out of range", () => {
  for (const orientation of ORIENTATIONS) {
    for (const little of [false, true]) {
      const exif = exifOf(orientation, little);
      assert.equal(exifOrientation(Uint8Array.from(exif)), orientation);
      assert.equal(
        exifOrientation(Uint8Array.from([...new TextEncoder().encode("Exif\0\0"), ...exif])),
        orientation,
      );
      for (let length = 0; length < 32; length++) exifOrientation(Uint8Array.from(exif.slice(0, length)));
    }
  }
  for (const orientation of [0, 9, 65535]) {
    assert.equal(exifOrientation(Uint8Array.from(exifOf(orientation))), 1);
  }
  assert.equal(exifOrientation(Uint8Array.from({ length: 64 }, (_, i) => i)), 1);
});

const shade = (x: number, y: number) => 40 * (1 + x + 3 * y);
const colour = (x: number, y: number) => Array(3).fill(shade(Math.floor(x / 16), Math.floor(y / 16)));

/** The JPEG with an APP1 segment. */
function jpegWith(jpeg: Uint8Array, orientation: number): Uint8Array<ArrayBuffer> {
  const exif = [...new TextEncoder().encode("Exif\0\0"), ...exifOf(orientation)];
  return Uint8Array.from([0xff, 0xd8, 0xff, 0xe1, 0, exif.length + 2, ...exif, ...jpeg.subarray(2)]);
}

/** The WebP in the extended format, with an EXIF chunk. */
function webpWith(webp: Uint8Array, orientation: number): Uint8Array<ArrayBuffer> {
  const text = (value: string) => [...new TextEncoder().encode(value)];
  const exif = exifOf(orientation);
  const parts = [
    ...[...text("VP8X"), 10, 0, 0, 0, 0x08, 0, 0, 0, 47, 0, 0, 31, 0, 0],
    ...webp.subarray(12),
    ...[...text("EXIF"), exif.length, 0, 0, 0, ...exif],
  ];
  const bytes = Uint8Array.from([...text("RIFF"), 0, 0, 0, 0, ...text("WEBP"), ...parts]);
  new DataView(bytes.buffer).setUint32(4, bytes.length - 8, true);
  return bytes;
}

Deno.test("JPEG, WebP and PNG are turned upright, and say so", async () => {
  const jpeg = await makeJpeg(48, 32, colour);
  const webp = await makeWebp(48, 32, colour, { lossless: true });
  const png = (orientation: number) =>
    pngFile({ width: 48, height: 32, depth: 8, colour: 2 }, colour, [
      pngChunk("eXIf", Uint8Array.from(exifOf(orientation))),
    ]);
  for (const orientation of ORIENTATIONS) {
    const [width, height, values] = UPRIGHT[orientation];
    for (const file of [jpegWith(jpeg, orientation), webpWith(webp, orientation), png(orientation)]) {
      const image = await decodeImage(file, "a");
      assert.deepEqual([image.width, image.height], [16 * width, 16 * height]);
      const centres = Array.from({ length: width * height }, (_, i) => {
        const [x, y] = [16 * (i % width) + 8, 16 * Math.floor(i / width) + 8];
        return Math.round(image.rgba[4 * (y * image.width + x)] / 40);
      });
      assert.equal(centres.join(""), values);
      assert.deepEqual(image.traits, orientation === 1 ? [] : ["turned"]);
    }
  }
});

Deno.test("a CMYK JPEG is turned upright", async () => {
  const jpeg = await Deno.readFile(new URL("../fixtures/cmyk.jpg", import.meta.url));
  const plain = await decodeImage(Uint8Array.from(jpeg), "a.jpg");
  const turned = await decodeImage(jpegWith(jpeg, 6), "a.jpg");
  assert.deepEqual([turned.width, turned.height], [plain.height, plain.width]);
  assert.deepEqual(turned.traits, ["CMYK", "turned"]);
});
