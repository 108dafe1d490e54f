import assert from "node:assert/strict";
import { scaleToSquare } from "../../lib/data/resize.ts";

/** An opaque image with pseudo-random colours. */
function noise(width: number, height: number) {
  const rgba = Uint8ClampedArray.from(
    { length: width * height * 4 },
    (_, i) => i % 4 === 3 ? 255 : i * 7919 % 251,
  );
  return { width, height, rgba };
}

/** The definition, by counting: cut every source pixel into side x side bits, each bit lies in one result pixel. */
function reference(image: ReturnType<typeof noise>, side: number): number[] {
  const { width, height, rgba } = image;
  const sums = new Array(side * side * 3).fill(0);
  for (let y = 0; y < height * side; y++) {
    for (let x = 0; x < width * side; x++) {
      const from = (Math.floor(y / side) * width + Math.floor(x / side)) * 4;
      const to = (Math.floor(y / height) * side + Math.floor(x / width)) * 3;
      for (let c = 0; c < 3; c++) sums[to + c] += rgba[from + c];
    }
  }
  return sums.map((sum) => sum / (width * height));
}

for (
  const [width, height, side] of [[32, 32, 32], [64, 64, 32], [5, 3, 4], [50, 37, 32], [1, 1, 4], [3, 40, 8]]
) {
  Deno.test(`scaleToSquare: ${width}x${height} to ${side}x${side} is the mean over the covered area`, () => {
    const image = noise(width, height);
    const to = new Uint8Array(side * side * 3);
    scaleToSquare(image, side, to);
    const expected = reference(image, side);
    for (const [i, value] of to.entries()) {
      assert.ok(
        Math.abs(value - expected[i]) <= 0.5 + 1e-9,
        `value ${i}: ${value}, expected ${expected[i]} rounded`,
      );
    }
  });
}

Deno.test("scaleToSquare: what is transparent becomes white", () => {
  const rgba = Uint8ClampedArray.of(10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 200, 51, 255, 255, 255, 255);
  const to = new Uint8Array(12);
  scaleToSquare({ width: 2, height: 2, rgba }, 2, to);
  assert.deepEqual([...to], [10, 20, 30, 255, 255, 255, 204, 224, 244, 255, 255, 255]);
});
