import assert from "node:assert/strict";
import { join } from "node:path";
import { cachedFeatures } from "../../lib/evaluation/feature_cache.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("features are computed once for each classifier and data set, and again if the file is damaged", async () => {
  await inTemporaryDirectory(async (directory) => {
    let runs = 0;
    const source = (digest: string) => ({
      digest,
      run: (images: Uint8Array) => {
        runs++;
        return Promise.resolve({
          features: Float32Array.from(images, (byte) => byte / 2),
          probabilities: Float32Array.of(1),
        });
      },
    });
    const data = { digest: "d".repeat(64), images: Uint8Array.of(1, 2, 3) };
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
  });
});
