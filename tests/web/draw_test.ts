/** Drawing in a browser by the module that `deno task bundle:web` makes. */
import assert from "node:assert/strict";
import { foreignImport } from "../../tasks/web/bundle.ts";
import { runTask } from "../support/command.ts";
import { browserTest, withoutBrowser, withPage } from "../support/server/browser.ts";
import { PIPELINE, withModel } from "../support/tiny_pipeline.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { assertNearlyEqual } from "../support/web/compare.ts";
import { foldersOf, type SiteFiles, withSite } from "../support/web/static_site.ts";

if (withoutBrowser) console.log("web.ts was not tested: there is no chromium or google-chrome here");

/** A page that has loaded the module, and nothing else. */
const PAGE: Readonly<Record<string, string>> = {
  "index.html": `<!doctype html><title>Page</title><link rel="icon" href="data:,">
    <script type="module" src="page.js"></script>`,
  "page.js": `globalThis.denoise = await import("./denoise.js");`,
};

/** Draws two pictures of the classes 1 and 2 step by step; runs in the page. */
const DRAW = `(async () => {
  await new Promise((resolve) => {
    const look = () => globalThis.denoise ? resolve() : setTimeout(look, 10);
    look();
  });
  const { DiffusionModel, fetchModelFiles } = denoise;
  const arrived = [];
  const files = await fetchModelFiles("model", { onProgress: ({ file, bytes, total }) => {
    if (file.endsWith(".safetensors")) arrived.push([bytes, total]);
  } });
  const warnings = [];
  const model = await DiffusionModel.fromFiles(files, { onWarning: (text) => warnings.push(text) });
  const steps = [];
  for await (const { done, total, images } of model.generateSteps({ class: [1, 2], seed: 7, steps: 4 })) {
    steps.push({ done, total, pixels: [...images.pixels], metadata: images.metadata });
  }
  const again = await model.generate({ class: 2, seed: 8, steps: 4 });
  const png = [...await again.png()];
  const { adapter, name } = model;
  await model.close();
  return { adapter, name, arrived, warnings, steps, again: [...again.pixels], png };
})()`;

/** What {@linkcode DRAW} returns. */
interface Drawn {
  adapter: string;
  name: string;
  arrived: [number, number][];
  warnings: string[];
  steps: { done: number; total: number; pixels: number[]; metadata: Record<string, unknown>[] }[];
  again: number[];
  png: number[];
}

browserTest("a browser draws the pictures of Deno, step by step, from a static host", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, out, err } = await runTask(
      "bundle_web",
      ["--out", "web", "--module-only", "--source-map"],
      directory,
    );
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, /^denoise\.js: \d+ kB, \d+ kB as servers send it \(gzip\)$/m);
    const folders = foldersOf({ "model/": PIPELINE, "": `${directory}/web` });
    const site: SiteFiles = async (path) => PAGE[path] ?? await folders(path);
    await withSite(site, async (address) => {
      await withPage(address, { webGpu: true, timeout: 60_000 }, async (page) => {
        const drawn = await page.evaluate(DRAW) as Drawn;
        assert.match(drawn.adapter, /swiftshader/);
        assert.equal(drawn.name, "model");
        assert.deepEqual(drawn.warnings, []);
        const [bytes, total] = drawn.arrived.at(-1)!;
        assert.equal(bytes, total);
        assert.deepEqual(
          drawn.steps.map(({ done, total }) => [done, total]),
          [1, 2, 3, 4].map((i) => [i, 4]),
        );
        assert.equal(new Set(drawn.steps.map(({ pixels }) => pixels.join())).size, 4);
        const finished = drawn.steps.at(-1)!;
        const one = finished.pixels.length / 2;
        assert.deepEqual(drawn.again, finished.pixels.slice(one));
        await withModel(async (model) => {
          const images = await model.generate({ class: [1, 2], seed: 7, steps: 4 });
          assertNearlyEqual(finished.pixels, images.pixels);
          assert.deepEqual(
            finished.metadata.map(({ model: _, ...rest }) => rest),
            images.metadata.map(({ model: _, ...rest }) => rest),
          );
          assert.deepEqual(drawn.png.slice(0, 8), [...(await images.at(1).png()).slice(0, 8)]);
        });
      });
    });
  });
});

Deno.test("imports that a bundle still has are found", () => {
  for (
    const code of [
      'import{a}from"node:fs"',
      'import "x"',
      "await import(`./a.ts`)",
      'export * from "node:os"',
    ]
  ) {
    assert.notEqual(foreignImport(code), undefined, code);
  }
  assert.equal(foreignImport('const of={from:1,import:"x"};a.from("x");'), undefined);
});
