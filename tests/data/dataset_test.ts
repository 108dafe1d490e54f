import assert from "node:assert/strict";
import fc from "fast-check";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { splitDataset, takeSubset, trainingSplit } from "../../lib/data/splitting.ts";
import { ConfigError, DataError, ShapeError } from "../../lib/errors.ts";

/** 50,000 labels, 5,000 of each class, mixed. */
const CIFAR_LABELS = Uint8Array.from({ length: 50_000 }, (_, i) => (i * 7 + Math.floor(i / 10)) % 10);

function counts(labels: Uint8Array, indices: Uint32Array, classes: number): number[] {
  const found = new Array(classes).fill(0);
  for (const index of indices) found[labels[index]]++;
  return found;
}

function isAscending(indices: Uint32Array): boolean {
  return indices.every((index, i) => i === 0 || indices[i - 1] < index);
}

Deno.test("imageDataset: the digest is SHA-256 over images, then labels", () => {
  const images = new TextEncoder().encode("abcdefghijkl");
  const data = imageDataset({
    name: "x",
    images,
    labels: Uint8Array.of(0),
    classes: ["a"],
    height: 2,
    width: 2,
  });
  assert.equal(data.count, 1);
  // printf 'abcdefghijkl\0' | sha256sum
  assert.equal(data.digest, "dc1b0b0605302499609b24e74b2a2d113c8b6d1daa2f630fd84d40c79d7917d8");
});

Deno.test("imageDataset: refuses bytes that do not fill the shape", () => {
  const parts = { name: "x", labels: new Uint8Array(2), classes: ["a"], height: 2, width: 2 };
  assert.throws(() => imageDataset({ ...parts, images: new Uint8Array(23) }), ShapeError);
});

Deno.test("imageDataset: a split of the data's own is kept, and part of the digest", () => {
  const parts = { name: "x", images: new Uint8Array(12), classes: ["a"], height: 1, width: 1 };
  const labels = new Uint8Array(4);
  const data = imageDataset({ ...parts, labels, validation: Uint32Array.of(1, 3) });
  const { train, validation } = trainingSplit(data, 5);
  assert.deepEqual([[...train], [...validation]], [[0, 2], [1, 3]]);
  const others = [undefined, Uint32Array.of(1), Uint32Array.of(), Uint32Array.of(0, 3)];
  const digests = others.map((validation) => imageDataset({ ...parts, labels, validation }).digest);
  assert.equal(new Set([data.digest, ...digests]).size, 5);
  const made = trainingSplit(imageDataset({ ...parts, labels }), 5);
  assert.deepEqual(made, splitDataset(labels, 1, { seed: 5 }));
});

Deno.test("imageDataset: a split that cannot be is refused", () => {
  const parts = { name: "x", images: new Uint8Array(9), classes: ["a"], height: 1, width: 1 };
  for (const wrong of [[3], [1, 1], [2, 0], [0, 1, 2]]) {
    const validation = Uint32Array.from(wrong);
    const make = () => imageDataset({ ...parts, labels: new Uint8Array(3), validation });
    assert.throws(make, /^DataError: validation/, `${wrong}`);
  }
});

Deno.test("splitDataset: CIFAR-10 gives 45,000 and 5,000, 500 of each class, nothing twice", () => {
  const { train, validation } = splitDataset(CIFAR_LABELS, 10, { seed: 1 });
  assert.equal(train.length, 45_000);
  assert.deepEqual(counts(CIFAR_LABELS, validation, 10), new Array(10).fill(500));
  assert.ok(isAscending(train) && isAscending(validation));
  assert.equal(new Set([...train, ...validation]).size, 50_000);
});

Deno.test("splitDataset: the same seed gives the same images, another seed others", () => {
  const a = splitDataset(CIFAR_LABELS, 10, { seed: 7 }).validation;
  assert.deepEqual(splitDataset(CIFAR_LABELS, 10, { seed: 7 }).validation, a);
  for (const seed of [8, 7 + 2 ** 32]) {
    const b = new Set(splitDataset(CIFAR_LABELS, 10, { seed }).validation);
    const shared = a.filter((index) => b.has(index)).length;
    assert.ok(shared > 350 && shared < 650, `${shared} of 5,000 shared, about 500 expected by chance`);
  }
});

Deno.test("splitDataset: the images of a seed do not change from version to version", () => {
  const labels = Uint8Array.from({ length: 20 }, (_, i) => i % 2);
  assert.deepEqual([...splitDataset(labels, 2, { validationFraction: 0.3, seed: 5 }).validation], [
    3,
    6,
    7,
    16,
    18,
    19,
  ]);
});

Deno.test("splitDataset: is exact overall and leaves every class a training image", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 12 }),
    fc.double({ min: 0, max: 0.999, noNaN: true }),
    fc.maxSafeNat(),
    (sizes, validationFraction, seed) => {
      const labels = Uint8Array.from(sizes.flatMap((size, c) => new Array(size).fill(c)));
      const { train, validation } = splitDataset(labels, sizes.length, { validationFraction, seed });
      const possible = sizes.reduce((sum, size) => sum + Math.max(0, size - 1), 0);
      assert.equal(validation.length, Math.min(possible, Math.round(validationFraction * labels.length)));
      assert.equal(train.length + validation.length, labels.length);
      const kept = counts(labels, train, sizes.length);
      for (const [c, size] of sizes.entries()) assert.ok(size === 0 || kept[c] >= 1, `class ${c}`);
    },
  ));
});

Deno.test("splitDataset: a wrong option or label is refused with its name", () => {
  const labels = Uint8Array.of(0, 1, 2);
  for (const validationFraction of [-0.1, 1, NaN, Infinity]) {
    assert.throws(
      () => splitDataset(labels, 3, { validationFraction, seed: 0 }),
      /^ConfigError: validationFraction/,
    );
  }
  for (const seed of [-1, 0.5, 2 ** 53, NaN]) {
    assert.throws(() => splitDataset(labels, 3, { seed }), /^ConfigError: seed/);
  }
  assert.throws(() => splitDataset(labels, 2, { seed: 0 }), /^DataError: labels\[2\].*below 2, got 2/);
});

Deno.test("takeSubset: --limit 5000 takes 500 of each class, from the given images only", () => {
  const { train } = splitDataset(CIFAR_LABELS, 10, { seed: 1 });
  const subset = takeSubset(train, 5000, 1, CIFAR_LABELS);
  assert.deepEqual(counts(CIFAR_LABELS, subset, 10), new Array(10).fill(500));
  const allowed = new Set(train);
  assert.ok(isAscending(subset) && subset.every((index) => allowed.has(index)));
  assert.deepEqual(takeSubset(train, 5000, 1, CIFAR_LABELS), subset);
  assert.notDeepEqual(takeSubset(train, 5000, 2, CIFAR_LABELS), subset);
});

Deno.test("takeSubset: has exactly the size asked for, and every class where there is room", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 12 }),
    fc.integer({ min: 1, max: 800 }),
    (sizes, limit) => {
      const labels = Uint8Array.from(sizes.flatMap((size, c) => new Array(size).fill(c)));
      const subset = takeSubset(Uint32Array.from(labels.keys()), limit, 3, labels);
      assert.equal(subset.length, Math.min(limit, labels.length));
      const present = sizes.filter((size) => size > 0).length;
      const kept = counts(labels, subset, sizes.length).filter((n) => n > 0).length;
      if (limit >= present) assert.equal(kept, present);
    },
  ));
});

Deno.test("takeSubset: refuses a limit below one", () => {
  for (const limit of [0, -1, 1.5, NaN]) {
    assert.throws(() => takeSubset(Uint32Array.of(0), limit, 0, Uint8Array.of(0)), ConfigError);
  }
  assert.throws(() => takeSubset(Uint32Array.of(3), 1, 0, Uint8Array.of(0)), DataError);
});
