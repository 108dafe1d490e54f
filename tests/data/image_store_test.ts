/** Pixels of data sets, wherever they are. */
import assert from "node:assert/strict";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { MemoryImages, piecesOf } from "../../lib/data/image_store.ts";
import { ShapeError } from "../../lib/errors.ts";

Deno.test("images in memory are read in the order asked for, and consecutive ones without a copy", async () => {
  const bytes = Uint8Array.from({ length: 12 }, (_, i) => i);
  const images = new MemoryImages(bytes, 3);
  assert.equal(images.count, 4);
  assert.deepEqual([...images.read([2, 0, 2])], [6, 7, 8, 0, 1, 2, 6, 7, 8]);
  assert.deepEqual([...images.range(1, 3)], [3, 4, 5, 6, 7, 8]);
  assert.equal(images.range().buffer, bytes.buffer);
  const reader = images.openReader();
  assert.deepEqual([...await reader.read(Uint32Array.of(3))], [9, 10, 11]);
  reader.close();
  for (const index of [-1, 4, 0.5]) assert.throws(() => images.read([0, index]), ShapeError);
  assert.throws(() => new MemoryImages(bytes, 5), ShapeError);
});

Deno.test("pieces of a store are all of it, in order, whatever an image's size", () => {
  for (const bytesPerImage of [3, 5_000_000, 20_000_000]) {
    const images = new MemoryImages(new Uint8Array(bytesPerImage * 5), bytesPerImage);
    const pieces = [...piecesOf(images)];
    assert.equal(pieces.reduce((sum, { bytes }) => sum + bytes.length, 0), bytesPerImage * 5);
    let next = 0;
    for (const { first, bytes } of pieces) {
      assert.equal(first, next);
      next += bytes.length / bytesPerImage;
    }
  }
});

Deno.test("a data set of stored images is that of their bytes", () => {
  const bytes = Uint8Array.from({ length: 24 }, (_, i) => 7 * i);
  const parts = { name: "few", labels: Uint8Array.of(0, 1), classes: ["a", "b"], height: 2, width: 2 };
  const given = imageDataset({ ...parts, images: bytes });
  const stored = imageDataset({ ...parts, images: new MemoryImages(bytes, 12) });
  assert.deepEqual(stored, given);
  assert.throws(() => imageDataset({ ...parts, images: new MemoryImages(bytes, 6), height: 1 }), ShapeError);
});
