import assert from "node:assert/strict";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { selectDataset } from "../../lib/data/selection.ts";
import { ShapeError } from "../../lib/errors.ts";

const all = imageDataset({
  name: "four",
  images: Uint8Array.from({ length: 8 }, (_, i) => 10 * i),
  ...{ labels: Uint8Array.of(0, 1, 0, 1), classes: ["a", "b"], height: 1, width: 2, channels: 1 },
});

Deno.test("selectDataset: the images in the order of the indices, however they are read, as if they were all", async () => {
  const some = selectDataset(all, Uint32Array.of(3, 0));
  const [fourth, first] = [[60, 70], [0, 10]];
  assert.deepEqual([some.count, some.images.count, [...some.labels]], [2, 2, [1, 0]]);
  assert.deepEqual([...some.images.read([1, 0])], [...first, ...fourth]);
  assert.deepEqual([...some.images.range()], [...fourth, ...first]);
  assert.deepEqual([...some.images.range(1, 2)], first);
  const reader = some.images.openReader();
  assert.deepEqual([...await reader.read(Uint32Array.of(0))], fourth);
  reader.close();
  const same = imageDataset({ ...some, images: Uint8Array.of(...fourth, ...first) });
  assert.equal(some.digest, same.digest);
  assert.notEqual(some.digest, all.digest);
});

Deno.test("selectDataset: an index that is out of range is refused", () => {
  assert.throws(
    () => selectDataset(all, Uint32Array.of(4)),
    new ShapeError("image 4: expected a whole number from 0 to 3"),
  );
  assert.throws(
    () => selectDataset(all, Uint32Array.of(3)).images.read([1]),
    new ShapeError("image 1: expected a whole number from 0 to 0"),
  );
});
