import assert from "node:assert/strict";
import { classConsistency, inceptionScore, mostProbable } from "../../lib/evaluation/class_scores.ts";
import { type Features, featuresOf, selectFeatures } from "../../lib/evaluation/features.ts";
import { frechetDistance } from "../../lib/evaluation/frechet_distance.ts";
import { kernelDistance, squaredDiscrepancy } from "../../lib/evaluation/kernel_distance.ts";
import { featureMoments } from "../../lib/evaluation/moments.ts";
import { nearestNeighbours } from "../../lib/evaluation/nearest_neighbours.ts";
import { precisionRecall } from "../../lib/evaluation/precision_recall.ts";
import { evenSubset, randomSubset } from "../../lib/evaluation/subsets.ts";
import { symmetricEigenvalues } from "../../lib/evaluation/symmetric_eigenvalues.ts";
import { goldenValues } from "../golden/formula.ts";
import { assertClose } from "../support/close.ts";

interface Golden {
  pairs: Record<string, {
    sizes: [count: number, other: number, width: number];
    frechet: number;
    discrepancy: number;
    shares: { precision: number; recall: number };
    neighbours: { indices: number[]; distances: number[] };
  }>;
  eigenvalues: number[];
  scores: { inception: { mean: number; deviation: number }; consistency: number };
}

const golden: Golden = JSON.parse(
  await Deno.readTextFile(new URL("../golden/metrics.json", import.meta.url)),
);
const CLASSES = 5;
/** The file keeps twelve digits. */
const ROUNDED = { absolute: 1e-11 };

/** Features of metrics.py. */
function features(name: string, count: number, width: number, scale = 1, offset = 0): Features {
  const v = goldenValues("metrics", name, count * width);
  const mix = goldenValues("metrics", `mix/${width}`, width * width);
  const values = Float64Array.from({ length: count * width }, (_, at) => {
    const [i, j] = [Math.floor(at / width), at % width];
    let sum = 0;
    for (let k = 0; k < width; k++) sum += v[i * width + k]! * mix[j * width + k]!;
    return scale * Math.max(0, sum) + offset;
  });
  return featuresOf(values, width);
}

function probabilities(): Float64Array {
  const z = goldenValues("metrics", "logits", 23 * CLASSES).map((value) => Math.exp(3 * value));
  return z.map((power, at) => {
    const row = at - at % CLASSES;
    return power / z.subarray(row, row + CLASSES).reduce((a, b) => a + b);
  });
}

for (const [name, pair] of Object.entries(golden.pairs)) {
  const [count, other, width] = pair.sizes;
  const a = features("a", count, width);
  const b = features("b", other, width, 0.8, 0.1);

  Deno.test(`the Fréchet distance is that of scipy's matrix root: ${name}`, () => {
    const distance = frechetDistance(featureMoments(a), featureMoments(b));
    // scipy's root of a singular product is good to half of the digits only.
    assertClose([distance], [pair.frechet], { absolute: count < width ? 1e-6 : 1e-10 });
    assertClose([frechetDistance(featureMoments(b), featureMoments(a))], [distance], { absolute: 1e-9 });
  });

  Deno.test(`the unbiased discrepancy is PyTorch's: ${name}`, () => {
    const least = Array.from({ length: Math.min(count, other) }, (_, i) => i);
    const found = squaredDiscrepancy(selectFeatures(a, least), selectFeatures(b, least));
    assertClose([found], [pair.discrepancy], { absolute: 1e-9 });
  });

  Deno.test(`precision, recall and nearest neighbours are PyTorch's: ${name}`, () => {
    const { precision, recall } = precisionRecall(a, b);
    assertClose([precision, recall], [pair.shares.precision, pair.shares.recall], ROUNDED);
    const found = nearestNeighbours(a, b);
    assert.deepEqual(found.map(({ index }) => index), pair.neighbours.indices);
    assertClose(found.map(({ distance }) => distance), pair.neighbours.distances, { absolute: 1e-7 });
  });
}

Deno.test("eigenvalues of a symmetric matrix are numpy's", () => {
  const v = goldenValues("metrics", "symmetric", 400);
  const matrix = v.map((value, at) => value + v[at % 20 * 20 + Math.floor(at / 20)]!);
  assertClose(symmetricEigenvalues(matrix, 20), golden.eigenvalues, { absolute: 1e-11 });
});

Deno.test("eigenvalues of matrices in which rotations vanish: zero, diagonal, blocks, one element", () => {
  assert.deepEqual([...symmetricEigenvalues(new Float64Array(9), 3)], [0, 0, 0]);
  assert.deepEqual([...symmetricEigenvalues(Float64Array.of(3, 0, 0, 0, -1, 0, 0, 0, 2), 3)], [-1, 2, 3]);
  const blocks = Float64Array.of(0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 2, 0);
  assertClose(symmetricEigenvalues(blocks, 4), [-2, -1, 1, 2], { absolute: 1e-14 });
  assert.deepEqual([...symmetricEigenvalues(Float64Array.of(7), 1)], [7]);
  assert.throws(() => symmetricEigenvalues(Float64Array.of(NaN), 1), /not finite/);
});

Deno.test("class consistency and Inception score are PyTorch's", () => {
  const p = probabilities();
  const labels = Array.from({ length: 23 }, (_, n) => (7 * n + 3) % CLASSES);
  assertClose([classConsistency(p, CLASSES, labels)], [golden.scores.consistency], ROUNDED);
  const { mean, deviation } = inceptionScore(p, CLASSES, 4);
  assertClose([mean, deviation], Object.values(golden.scores.inception), { absolute: 1e-10 });
});

Deno.test("the Inception score is 1 for one answer to all images, and the number of classes for certain, even ones", () => {
  assert.deepEqual(inceptionScore([0.2, 0.8, 0.2, 0.8], 2, 1), { mean: 1, deviation: 0 });
  assertClose([inceptionScore([1, 0, 0, 0, 1, 0, 0, 0, 1], 3, 1).mean], [3], { absolute: 1e-12 });
});

Deno.test("distances of a set to itself vanish, and precision and recall are 1", () => {
  const a = features("a", 40, 8);
  const moments = featureMoments(a);
  assertClose([frechetDistance(moments, moments)], [0], { absolute: 1e-9 });
  assert.deepEqual(precisionRecall(a, a), { precision: 1, recall: 1 });
  assert.deepEqual(
    nearestNeighbours(a, a).map(({ index, distance }) => [index, distance]),
    Array.from({ length: 40 }, (_, i) => [i, 0]),
  );
});

Deno.test("the kernel distance is a mean over random subsets by seed", () => {
  const [a, b] = [features("a", 60, 8), features("b", 50, 8, 0.8, 0.1)];
  const options = { subsets: 20, size: 25 };
  const first = kernelDistance(a, b, options);
  assert.deepEqual(kernelDistance(a, b, { ...options, seed: 0 }), first);
  assert.notEqual(kernelDistance(a, b, { ...options, seed: 1 }).mean, first.mean);
  assert.ok(first.deviation > 0);
  const expected = golden.pairs["more images than features"]!.discrepancy;
  // The mean's own error, five times
  assert.ok(Math.abs(first.mean - expected) < 5 * first.deviation / Math.sqrt(20) + 0.1 * expected);
});

Deno.test("subsets repeat no index, and even ones cover the range", () => {
  const drawn = randomSubset(100, 30, 5, 2);
  assert.equal(new Set(drawn).size, 30);
  assert.notDeepEqual(drawn, randomSubset(100, 30, 5, 3));
  assert.deepEqual([...evenSubset(10, 4)], [0, 2, 5, 7]);
  assert.deepEqual([...evenSubset(3, 8)], [0, 1, 2]);
});

Deno.test("measures name what does not fit", () => {
  const a = features("a", 4, 8);
  assert.throws(() => frechetDistance(featureMoments(a), featureMoments(features("a", 4, 1))), /8 and 1/);
  assert.throws(() => precisionRecall(features("a", 3, 8), a), /images: expected at least 4, got 3/);
  assert.throws(() => featureMoments(features("a", 1, 8)), /images: expected at least 2, got 1/);
  assert.throws(() => inceptionScore([0.5, 0.5], 2), /images: expected at least 10/);
  assert.throws(() => mostProbable([1, 2, 3], 2), /whole rows of 2/);
  assert.throws(() => featuresOf(new Float32Array(7), 2), /whole rows of 2/);
});
