import assert from "node:assert/strict";
import { claimedDimensions } from "../../../lib/data/decode/header.ts";
import { makeJpeg, makeWebp } from "../../support/image_files.ts";
import { makePng } from "../../support/synthetic.ts";

const colour = (x: number, y: number) => [x, y, 99];
const size = { width: 40, height: 24 };

Deno.test("the dimensions of each format are read from its header alone", async () => {
  const files = {
    png: await makePng(40, 24, colour),
    jpeg: await makeJpeg(40, 24, colour),
    lossless: await makeWebp(40, 24, colour, { lossless: true }),
    lossy: await makeWebp(40, 24, colour),
  };
  for (const [name, bytes] of Object.entries(files)) {
    const { width, height } = claimedDimensions(bytes) ?? {};
    assert.deepEqual({ width, height }, size, name);
  }
  const { png, jpeg } = files;
  assert.deepEqual(claimedDimensions(png.slice(0, 33)), size);
  const metadata = new Uint8Array(0x1_0001);
  metadata.set([0xff, 0xe1, 0xff, 0xff]);
  const parts = [jpeg.subarray(0, 2), metadata, metadata, jpeg.subarray(2)];
  const camera = new Uint8Array(await new Blob(parts).arrayBuffer());
  const { width, height } = claimedDimensions(camera)!;
  assert.deepEqual({ width, height }, size);
});

Deno.test("the extended header of a WebP has its dimensions", () => {
  const bytes = new Uint8Array(30);
  bytes.set(new TextEncoder().encode("RIFF    WEBPVP8X"));
  bytes.set([9999 & 255, 9999 >> 8, 0, 4999 & 255, 4999 >> 8, 0], 24);
  assert.deepEqual(claimedDimensions(bytes), { width: 10_000, height: 5000 });
});

Deno.test("a file without a header, or cut short before it, claims nothing", async () => {
  const jpeg = await makeJpeg(40, 24, colour);
  const png = await makePng(40, 24, colour);
  const filled = new Uint8Array(2 ** 21).fill(0xff); // fill bytes, which end no marker
  filled.set([0xff, 0xd8, 0xff]);
  for (
    const bytes of [
      new Uint8Array(),
      new Uint8Array(100),
      new TextEncoder().encode("RIFF    WEBPVP8X"),
      new TextEncoder().encode("RIFF    WEBPEXIF then something else"),
      png.slice(0, 20),
      jpeg.slice(0, 10),
      filled,
    ]
  ) {
    assert.equal(claimedDimensions(Uint8Array.from(bytes)), undefined);
  }
});
