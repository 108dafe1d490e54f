/** A bundle carries what reading of users' images imports, some of it only in workers. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { imageEntries } from "../../bundle/images.ts";
import { packageEntries } from "../../bundle/packages.ts";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { decodePng } from "../support/read_png.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

Deno.test("the packages that read archives, label files, Parquet and every image format are in a bundle", async () => {
  const entries = await packageEntries(ROOT, ["mod.ts", "lib/data/decode/worker.ts"], [], []);
  const paths = entries.map(({ path }) => path);
  const names = ["hyparquet", "hyparquet-compressors", "fzstd", "csv-parse", "yauzl", "modern-tar", "omggif"];
  for (const name of [...names, "jpeg-js", "@jsquash/jpeg", "@jsquash/png", "@jsquash/webp"]) {
    assert.ok(paths.some((path) => path.includes(`/${name}/`)), name);
  }
});

Deno.test("images without classes, and grey ones, are carried, too", async () => {
  const data = imageDataset({
    ...{ name: "grey", images: Uint8Array.of(10, 20, 30, 40), labels: Uint8Array.of(0, 0), classes: [] },
    ...{ height: 1, width: 2, channels: 1 },
  });
  const entries = await imageEntries(data, 5, "first");
  assert.deepEqual(entries.map(({ path }) => path), ["first/00000.png", "first/00001.png"]);
  const { source } = entries[1]!;
  assert.ok(source instanceof Uint8Array);
  assert.deepEqual([...decodePng(source).rgb], [30, 30, 30, 40, 40, 40]);
});
