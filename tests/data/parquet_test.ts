import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { loadImages, type LoadImagesOptions } from "../../lib/data/load_images.ts";
import { inFolder } from "../support/synthetic.ts";

const FOLDER = fileURLToPath(new URL("fixtures/parquet", import.meta.url));
const FIRST = `${FOLDER}/train-00000-of-00002.parquet`;

async function load(path: string, options: LoadImagesOptions = {}, told: string[] = []) {
  const onProgress = ({ message, total }: { message: string; total?: number }) => {
    if (total === undefined) told.push(message);
  };
  const data = await loadImages(path, { size: 8, onProgress, ...options });
  const reds = Array.from({ length: data.count }, (_, i) => data.images.range(i)[0]);
  return { ...data, reds };
}

Deno.test("Parquet files of the hub are read by split, in every compression, classes in the order of their names", async () => {
  const told: string[] = [];
  const train = await load(FOLDER, {}, told);
  assert.deepEqual([train.classes, [...train.labels]], [["dog", "cat"], [1, 0, 1, 0]]);
  assert.deepEqual([train.reds, [...train.validation!]], [[10, 20, 40, 50], [3]]);
  assert.deepEqual(told, ["1 image without a label is left out"]);
  const test = await load(FOLDER, { split: "test" });
  assert.deepEqual([test.classes, test.reds, [...test.labels]], [["dog", "cat"], [60], [0]]);
});

Deno.test("one Parquet file is read, and its classes from another column", async () => {
  const words = await load(FIRST, { labelColumn: "word" });
  assert.deepEqual([words.classes, words.reds, [...words.labels]], [["a", "b"], [10, 20, 30], [0, 1, 0]]);
  await assert.rejects(
    load(FIRST, { labelColumn: "words" }),
    /of-00002\.parquet: no column words; expected one of image, label, word$/,
  );
  await assert.rejects(
    load(FIRST, { split: "test" }),
    /no test images: expected Parquet files whose names begin with train and test$/,
  );
});

Deno.test("a damaged Parquet file is named, wherever it is damaged", async () => {
  const bytes = await Deno.readFile(FIRST);
  await inFolder(async (folder) => {
    const path = `${folder}/x.parquet`;
    for (const at of [10, 60, bytes.length - 30, bytes.length - 6]) {
      const copy = bytes.slice();
      copy.fill(0xff, at, at + 12);
      await Deno.writeFile(path, copy);
      await assert.rejects(load(path), /^DataError: .*x\.parquet/, `byte ${at}`);
    }
    for (const length of [3, 5, 12, bytes.length - 1]) {
      await Deno.writeFile(path, bytes.subarray(0, length));
      await assert.rejects(load(path), /^DataError: .*x\.parquet/, `${length} bytes`);
    }
  });
});

Deno.test("images of Parquet files are decoded once, and again if one of the files has changed", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/hub`;
    await Deno.mkdir(path);
    for (const { name } of Deno.readDirSync(FOLDER)) {
      if (name.endsWith(".parquet")) await Deno.copyFile(`${FOLDER}/${name}`, `${path}/${name}`);
    }
    const first = await load(FOLDER);
    for (
      const [note, change] of [[/^decoded images are kept in/], [/: decoded before, read from/], [
        /anew$/,
        true,
      ]] as const
    ) {
      const changed = `${path}/train-00000-of-00002.parquet`;
      if (change) await Deno.utime(changed, new Date(), new Date("2020-02-20"));
      const told: string[] = [];
      const data = await load(path, { cache: `${folder}/cache` }, told);
      assert.deepEqual([data.digest, data.reds], [first.digest, first.reds]);
      assert.ok(told.some((message) => note.test(message)), told.join("\n"));
      data.images.close();
    }
  });
});
