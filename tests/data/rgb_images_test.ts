import assert from "node:assert/strict";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { inRgb } from "../../lib/data/rgb_images.ts";

Deno.test("inRgb: grey images have equal channels, however they are read, under the same digest", async () => {
  const grey = imageDataset({
    name: "grey",
    images: Uint8Array.from({ length: 6 }, (_, i) => 10 * i),
    ...{ labels: Uint8Array.of(0, 0, 0), classes: [], height: 1, width: 2, channels: 1 },
  });
  const colour = inRgb(grey);
  const { images } = colour;
  assert.deepEqual([colour.channels, images.count, images.bytesPerImage], [3, 3, 6]);
  assert.equal(colour.digest, grey.digest);
  const [second, third] = [[20, 20, 20, 30, 30, 30], [40, 40, 40, 50, 50, 50]];
  assert.deepEqual([...images.read([2, 1])], [...third, ...second]);
  assert.deepEqual([...images.range(1)], [...second, ...third]);
  const reader = images.openReader();
  assert.deepEqual([...await reader.read(Uint32Array.of(1))], second);
  reader.close();
  assert.equal(inRgb(colour), colour);
});
