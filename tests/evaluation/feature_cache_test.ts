import assert from "node:assert/strict";
import { join } from "node:path";
import { MemoryImages } from "../../lib/data/image_store.ts";
import { cachedFeatures } from "../../lib/evaluation/feature_cache.ts";
import { encodeWeights } from "../../lib/files/weights.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** Names of results and their parts. */
function filesIn(directory: string): string[] {
  return Array.from(Deno.readDirSync(directory), ({ name }) => name).filter((name) => name !== ".lock");
}

Deno.test("features are computed once for each classifier and data set, and again if the file is damaged", async () => {
  await inTemporaryDirectory(async (directory) => {
    let runs = 0;
    const source = (digest: string) => ({
      digest,
      run: (images: Uint8Array) => {
        runs++;
        return Promise.resolve({
          features: Float32Array.from(images, (byte) => byte / 2),
          probabilities: Float32Array.from(images, () => 1),
        });
      },
    });
    const data = { digest: "d".repeat(64), images: new MemoryImages(Uint8Array.of(1, 2, 3), 1), count: 3 };
    const first = await cachedFeatures(source("a".repeat(64)), data, directory);
    assert.deepEqual([...first.features], [0.5, 1, 1.5]);
    assert.deepEqual(await cachedFeatures(source("a".repeat(64)), data, directory), first);
    assert.equal(runs, 1);
    await cachedFeatures(source("b".repeat(64)), data, directory);
    await cachedFeatures(source("a".repeat(64)), { ...data, digest: "e".repeat(64) }, directory);
    assert.equal(runs, 3);

    for (const { name } of Deno.readDirSync(directory)) await Deno.writeTextFile(join(directory, name), "x");
    assert.deepEqual(await cachedFeatures(source("a".repeat(64)), data, directory), first);
    assert.equal(runs, 4);

    // Intact files of fewer images in their places
    const two = { shape: [2, 1], data: Float32Array.of(1, 2) };
    const fewer = await encodeWeights(new Map([["features", two], ["probabilities", two]]));
    for (const name of filesIn(directory)) await Deno.writeFile(join(directory, name), fewer);
    assert.deepEqual(await cachedFeatures(source("a".repeat(64)), data, directory), first);
    assert.equal(runs, 5);
  });
});

Deno.test("an interrupted computation of features goes on with the part that it was in", async () => {
  await inTemporaryDirectory(async (directory) => {
    const computed: number[] = [];
    const source = {
      digest: "a".repeat(64),
      run: async (images: Uint8Array, onBatch?: (done: number) => void | Promise<void>) => {
        computed.push(images.length);
        await onBatch?.(images.length);
        return { features: Float32Array.from(images), probabilities: Float32Array.from(images, () => 1) };
      },
    };
    const images = Uint8Array.from({ length: 12_000 }, (_, i) => i % 251);
    const data = { digest: "d".repeat(64), images: new MemoryImages(images, 1), count: images.length };
    const interruption = new AbortController();
    const onBatch = (done: number) => {
      if (done === 5000) interruption.abort(new Error("interrupted"));
    };
    const { signal } = interruption;
    await assert.rejects(cachedFeatures(source, data, directory, { onBatch, signal }), /interrupted/);
    assert.deepEqual(computed.splice(0), [5000, 5000], "the second part ends at its first batch");

    const { features } = await cachedFeatures(source, data, directory);
    assert.deepEqual(features, Float32Array.from(images));
    assert.deepEqual(computed, [5000, 2000], "the first part is kept");
    assert.equal(filesIn(directory).length, 1, "parts are removed");
  });
});
