import assert from "node:assert/strict";
import { cropped, frameImage } from "../../../lib/data/decode/framing.ts";

/** An opaque image with pseudo-random colours. */
function noise(width: number, height: number) {
  const rgba = Uint8ClampedArray.from(
    { length: width * height * 4 },
    (_, i) => i % 4 === 3 ? 255 : i * 7919 % 251,
  );
  return { width, height, rgba };
}

/** The definition, by counting: cut every pixel of the centre square into side x side bits, each lies in one result pixel. */
function reference(image: ReturnType<typeof noise>, side: number): number[] {
  const { width, height, rgba } = image;
  const square = Math.min(width, height);
  const [left, top] = [Math.floor((width - square) / 2), Math.floor((height - square) / 2)];
  const sums = new Array(side * side * 3).fill(0);
  for (let y = 0; y < square * side; y++) {
    for (let x = 0; x < square * side; x++) {
      const from = ((top + Math.floor(y / side)) * width + left + Math.floor(x / side)) * 4;
      const to = (Math.floor(y / square) * side + Math.floor(x / square)) * 3;
      for (let c = 0; c < 3; c++) sums[to + c] += rgba[from + c];
    }
  }
  return sums.map((sum) => sum / (square * square));
}

for (
  const [width, height, side] of [[32, 32, 32], [64, 64, 32], [5, 3, 4], [50, 37, 32], [1, 1, 4], [3, 40, 8]]
) {
  Deno.test(`frameImage, crop: ${width}x${height} to ${side}x${side} is the mean over the covered part of the centre square`, () => {
    const image = noise(width, height);
    const to = new Uint8Array(side * side * 3);
    frameImage(image, cropped({ width: side, height: side }), to);
    const expected = reference(image, side);
    for (const [i, value] of to.entries()) {
      assert.ok(
        Math.abs(value - expected[i]) <= 0.5 + 1e-9,
        `value ${i}: ${value}, expected ${expected[i]} rounded`,
      );
    }
  });
}

Deno.test("frameImage, crop: transparency becomes white", () => {
  const rgba = Uint8ClampedArray.of(10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 200, 51, 255, 255, 255, 255);
  const to = new Uint8Array(12);
  frameImage({ width: 2, height: 2, rgba }, cropped({ width: 2, height: 2 }), to);
  assert.deepEqual([...to], [10, 20, 30, 255, 255, 255, 204, 224, 244, 255, 255, 255]);
});

Deno.test("frameImage, crop: a result that is not square takes the centre of its shape", () => {
  // Ten columns and four rows, each pixel with its column in red: a 2 x 4 result takes the four rows and the columns 4 and 5.
  const rgba = Uint8Array.from({ length: 10 * 4 * 4 }, (_, i) => i % 4 === 0 ? Math.floor(i / 4) % 10 : 255);
  const to = new Uint8Array(2 * 4 * 3);
  frameImage({ width: 10, height: 4, rgba }, cropped({ width: 2, height: 4 }), to);
  assert.deepEqual([...to.filter((_, i) => i % 3 === 0)], [4, 5, 4, 5, 4, 5, 4, 5]);
});
