import assert from "node:assert/strict";
import { MemoryImages } from "../../lib/data/image_store.ts";
import { featuresOf } from "../../lib/evaluation/features.ts";
import { measureImages, referenceOf } from "../../lib/evaluation/image_measures.ts";
import { nearestTraining, neighbourPicture } from "../../lib/evaluation/memorisation.ts";
import { noise } from "../reference/differences.ts";
import { assertClose } from "../support/close.ts";

Deno.test("a copied training image is at the head of the pairs, with distance 0", () => {
  const training = featuresOf(noise(20 * 3, 1), 3);
  const samples = featuresOf(Float64Array.of(9, 9, 9, ...training.values.subarray(21, 24), 5, 5, 5), 3);
  const found = nearestTraining(samples, training);
  assert.deepEqual(found.pairs[0], { index: 7, distance: 0, of: 1 });
  assert.deepEqual([found.images, found.smallest], [3, 0]);
  assert.equal(found.median, found.pairs[1]!.distance);

  const bytes = (count: number) => ({
    images: new MemoryImages(new Uint8Array(count * 12).fill(9), 12),
    height: 2,
    width: 2,
  });
  const picture = neighbourPicture(found, bytes(3), bytes(20), "sample");
  assert.equal(picture.count, 1);
});

Deno.test("measures leave out precision and recall for three images, and class consistency without labels", () => {
  const classified = (count: number, seed: number) => ({
    features: Float32Array.from(noise(count * 3, seed)),
    probabilities: new Float32Array(count * 2).fill(0.5),
  });
  const reference = referenceOf(classified(20, 1), 3);
  const few = measureImages(classified(3, 2), 2, reference, null);
  assert.deepEqual([few.precision, few.recall, few.classConsistency, few.images], [null, null, null, 3]);
  const more = measureImages(classified(6, 2), 2, reference, [0, 0, 0, 1, 1, 1]);
  assert.ok(more.precision !== null && more.recall !== null);
  assert.equal(more.classConsistency, 0.5);
  assertClose([more.classifierScore], [1], { absolute: 1e-12 });
});
