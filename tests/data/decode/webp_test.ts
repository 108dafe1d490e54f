import assert from "node:assert/strict";
import { DataError } from "../../../lib/errors.ts";
import { decodeImage } from "../../../lib/data/decode/decode.ts";
import { makeWebp } from "../../support/image_files.ts";

const little = (value: number, bytes: number) =>
  Array.from({ length: bytes }, (_, i) => value >> 8 * i & 255);
const chunk = (name: string, data: readonly number[]) => [
  ...new TextEncoder().encode(name),
  ...little(data.length, 4),
  ...data,
  ...data.length % 2 ? [0] : [],
];

interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** A still WebP. */
  readonly still: Uint8Array;
}

/** An animation of 12 x 10 pixels. */
function animation(frames: readonly Frame[]): Uint8Array<ArrayBuffer> {
  const chunks = [
    ...chunk("VP8X", [0x12, 0, 0, 0, ...little(11, 3), ...little(9, 3)]),
    ...chunk("ANIM", [0, 0, 255, 255, 0, 0]), // a background of blue, which browsers ignore
    ...frames.flatMap(({ left, top, width, height, still }) =>
      chunk("ANMF", [
        ...[left / 2, top / 2, width - 1, height - 1, 100].flatMap((value) => little(value, 3)),
        0,
        ...still.subarray(12).subarray(new TextDecoder().decode(still.subarray(12, 16)) === "VP8X" ? 18 : 0),
      ])
    ),
  ];
  const file = [...new TextEncoder().encode("WEBP"), ...chunks];
  return Uint8Array.from([...new TextEncoder().encode("RIFF"), ...little(file.length, 4), ...file]);
}

const green = (x: number) => [10 * x, 200, 30, x < 4 ? 255 : 0];
const STILL = { width: 8, height: 6, still: await makeWebp(8, 6, green, { lossless: true }) };
const SECOND = { left: 0, top: 0, width: 12, height: 10, still: await makeWebp(12, 10, () => [255, 0, 0]) };

Deno.test("the first frame of an animated WebP is decoded, in its place on a transparent canvas", async () => {
  const { width, height, rgba, traits } = await decodeImage(
    animation([{ ...STILL, left: 4, top: 2 }, SECOND]),
    "x.webp",
  );
  assert.deepEqual([width, height, traits], [12, 10, ["transparent"]]);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const pixel = [...rgba.subarray(4 * (12 * y + x), 4 * (12 * y + x) + 4)];
      const isShown = x >= 4 && x < 8 && y >= 2 && y < 8;
      if (isShown) assert.deepEqual(pixel, green(x - 4), `${x}, ${y}`);
      else assert.equal(pixel[3], 0, `${x}, ${y}`);
    }
  }
});

Deno.test("a lossy frame keeps its transparency", async () => {
  const still = await makeWebp(12, 10, (x) => [0, 200, 0, x < 6 ? 255 : 0]);
  const { rgba } = await decodeImage(animation([{ ...SECOND, still }]), "x.webp");
  assert.deepEqual([rgba[3], rgba[4 * 11 + 3]], [255, 0]);
});

Deno.test("an animation whose first frame does not fit its canvas, or itself, is damaged", async () => {
  for (
    const frame of [
      { ...STILL, left: 6, top: 0 },
      { ...STILL, left: 0, top: 6 },
      { ...STILL, left: 0, top: 0, width: 7 },
      { ...STILL, left: 0, top: 0, still: STILL.still.subarray(0, 14) },
    ]
  ) {
    await assert.rejects(decodeImage(animation([frame]), "x.webp"), (error) => {
      assert.ok(error instanceof DataError);
      assert.match(
        error.message,
        /^x\.webp: a damaged WebP: its first frame does not fit its 12 x 10 pixels$/,
      );
      return true;
    });
  }
});
