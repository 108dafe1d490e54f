import assert from "node:assert/strict";
import { imageForEdit, maskForEdit, maskOfPicture } from "../../../lib/sampling/edits/picture.ts";

/** Pixels as RGBA. */
function picture(width: number, pixels: readonly (readonly number[])[]) {
  return { width, height: pixels.length / width, rgba: Uint8Array.from(pixels.flat()) };
}

const [BLACK, WHITE, GREY] = [[0, 0, 0, 255], [255, 255, 255, 255], [51, 51, 51, 255]];
const GLASS = [0, 0, 0, 0];
const [ONE, TWO] = [1, 2].map((side) => ({ width: side, height: side }));

Deno.test("a picture becomes an image of the model's size, cropped to its centre, in [-1, 1]", () => {
  const wide = picture(6, Array.from({ length: 12 }, (_, i) => [BLACK, WHITE][(i % 6) % 2]));
  assert.deepEqual([...imageForEdit(wide, TWO)], [-1, -1, -1, 1, 1, 1, -1, -1, -1, 1, 1, 1]);
  assert.deepEqual([...imageForEdit(picture(1, [[255, 0, 51, 255]]), ONE)], [1, -1, -0.6].map(Math.fround));
});

Deno.test("a mask marks what is drawn anew in white, or by transparency", () => {
  const mask = picture(2, [BLACK, WHITE, GREY, GLASS]);
  assert.deepEqual([...maskForEdit(mask, TWO)], [0, 1, Math.fround(0.2), 1]);
  assert.deepEqual([...maskForEdit(mask, TWO, "transparent")], [0, 0, 0, 1]);
  assert.deepEqual([...maskForEdit(picture(2, [GLASS, GLASS, WHITE, WHITE]), ONE, "transparent")], [
    Math.fround(128 / 255),
  ]);
});

Deno.test("a mask has the size of its picture, and marks something", () => {
  const words = { file: "m.png", mark: "white" } as const;
  const mask = picture(2, [BLACK, WHITE, GREY, GLASS]);
  assert.deepEqual(maskOfPicture(mask, TWO, TWO, words), maskForEdit(mask, TWO));
  assert.throws(
    () => maskOfPicture(mask, { width: 3, height: 2 }, TWO, words),
    /^DataError: m\.png: 2 x 2 pixels, expected 3 x 2 pixels as the image has$/,
  );
  assert.throws(
    () => maskOfPicture(picture(1, [BLACK]), ONE, ONE, words),
    /^DataError: m\.png: nothing in it is white, and the image is drawn anew where the mask is$/,
  );
  // What is white is cut off.
  const wide = picture(3, [WHITE, BLACK, WHITE]);
  assert.throws(
    () => maskOfPicture(wide, { width: 3, height: 1 }, ONE, words),
    /^DataError: m\.png: nothing in the 1 : 1 centre that is used of it is white, and /,
  );
});
