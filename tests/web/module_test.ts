/** Drawing and training in a browser by the module that `deno task bundle:web` makes. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { DiffusionModel } from "../../lib/sampling/diffusion_model.ts";
import { trainInMemory } from "../../lib/train/in_memory.ts";
import { train } from "../../lib/train/trainer.ts";
import { foreignImport } from "../../tasks/web/bundle.ts";
import { runTask } from "../support/command.ts";
import { testGpu } from "../support/gpu.ts";
import { browserTest, withoutBrowser, withPage } from "../support/server/browser.ts";
import { smallNetwork } from "../support/web/small_network.ts";
import { PIPELINE, withModel } from "../support/tiny_pipeline.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { assertNearlyEqual } from "../support/web/compare.ts";
import { foldersOf, type SiteFiles, withSite } from "../support/web/static_site.ts";

if (withoutBrowser) console.log("web.ts was not tested: there is no chromium or google-chrome here");

/** A page that loads the module, and nothing else. */
const PAGE: Readonly<Record<string, string>> = {
  "index.html": `<!doctype html><title>Page</title><link rel="icon" href="data:,">
    <script type="module" src="page.js"></script>`,
  "page.js": `globalThis.denoise = await import("./denoise.js");
    document.documentElement.dataset.ready = "";`,
};

/** Opens a page on a static host that has loaded the module, beside which the model of `PIPELINE` lies. */
async function withModule(body: (page: Page) => Promise<void>): Promise<void> {
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
      await withPage(address, { webGpu: true, timeout: 90_000 }, async (page) => {
        await page.locator("html[data-ready]").waitFor({ state: "attached" });
        await body(page);
      });
    });
  });
}

/** Draws two pictures of the classes 1 and 2 step by step; runs in the page. */
const DRAW = `(async () => {
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
  await withModule(async (page) => {
    const drawn = await page.evaluate(DRAW) as Drawn;
    assert.match(drawn.adapter, /swiftshader/);
    assert.equal(drawn.name, "model");
    assert.deepEqual(drawn.warnings, []);
    const [bytes, total] = drawn.arrived.at(-1)!;
    assert.equal(bytes, total);
    assert.deepEqual(drawn.steps.map(({ done, total }) => [done, total]), [1, 2, 3, 4].map((i) => [i, 4]));
    assert.equal(new Set(drawn.steps.map(({ pixels }) => pixels.join())).size, 4);
    const finished = drawn.steps.at(-1)!;
    assert.deepEqual(drawn.again, finished.pixels.slice(finished.pixels.length / 2));
    await withModel(async (model) => {
      const images = await model.generate({ class: [1, 2], seed: 7, steps: 4 });
      assertNearlyEqual(finished.pixels, images.pixels);
      const shared = ({ model: _, ...rest }: Record<string, unknown>) => rest;
      assert.deepEqual(finished.metadata.map(shared), images.metadata.map(shared));
      assert.deepEqual(drawn.png.slice(0, 8), [...(await images.at(1).png()).slice(0, 8)]);
    });
  });
});

/** Bright and dark images, each in a colour of its own. */
const IMAGES = {
  name: "stripes",
  images: Uint8Array.from({ length: 44 * 3072 }, (_, i) => {
    const [image, pixel] = [Math.floor(i / 3072), i % 3072];
    return (image % 2 === 0 ? 40 : 180) +
      (7 * image + 31 * (pixel % 3) + 5 * (Math.floor(pixel / 96) % 8)) % 70;
  }),
  labels: Uint8Array.from({ length: 44 }, (_, i) => i % 2),
  classes: ["dark", "light"],
  height: 32,
  width: 32,
};
/** SwiftShader takes minutes to compile the kernels of `tiny`. */
const SETTINGS = {
  model: smallNetwork(2),
  batch: 4,
  steps: 10,
  sampleEvery: 0,
  logEvery: 1,
  seed: 5,
} as const;

/**
 * Compares losses of two adapters: at most 1e-5 apart, in proportion. Measured, SwiftShader in Chromium 156 and Mesa 22.3's
 * llvmpipe in Deno: the same numbers, those of ten steps and a validation of `tiny`, too.
 */
function assertNearly(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= 1e-5 * Math.abs(expected), `${actual}, expected ${expected}`);
}

/** Trains on {@linkcode IMAGES}; runs in the page. */
const TRAIN = `(async () => {
  const { DiffusionModel, memoryDataset, openBrowserGpu, trainInMemory } = denoise;
  const { images, labels, ...rest } = ${JSON.stringify({ ...IMAGES, images: null, labels: null })};
  const data = await memoryDataset({
    ...rest,
    images: Uint8Array.fromBase64("${IMAGES.images.toBase64()}"),
    labels: Uint8Array.from(${JSON.stringify([...IMAGES.labels])}),
  });
  const gpu = await openBrowserGpu();
  const losses = [];
  let [valLoss, files] = [null, undefined];
  for await (const event of trainInMemory({ data, gpu, ...${JSON.stringify(SETTINGS)} })) {
    if (event.type === "step") losses.push(event.loss);
    if (event.type === "epoch") valLoss = event.valLoss;
    if (event.type === "checkpoint") files = event.model;
  }
  return { digest: data.digest, losses, valLoss, names: [...files.files.keys()], used: gpu.memory.used };
})()`;

browserTest("ten steps of training in a browser have the losses of Deno", async () => {
  await withModule(async (page) => {
    const trained = await page.evaluate(TRAIN) as {
      digest: string;
      losses: number[];
      valLoss: number;
      names: string[];
      used: number;
    };
    const data = imageDataset(IMAGES);
    assert.equal(trained.digest, data.digest);
    assert.equal(trained.names.length, 4);
    assert.equal(trained.used, 0, "a run that has ended leaves nothing on the device");
    const losses: number[] = [];
    let valLoss: number | null = null;
    for await (
      const event of train({ data, gpu: await testGpu(), tune: "off", precision: "float32", ...SETTINGS })
    ) {
      if (event.type === "step") losses.push(event.loss);
      if (event.type === "epoch") valLoss = event.valLoss;
    }
    assert.equal(trained.losses.length, 10);
    for (const [i, loss] of [...losses, valLoss!].entries()) {
      assertNearly([...trained.losses, trained.valLoss][i], loss);
    }
  });
});

Deno.test("a run in memory gives its model as files, with which images are drawn", async () => {
  const gpu = await testGpu();
  const before = [gpu.memory.live, gpu.memory.used];
  const events: string[] = [];
  let drawn: number[] = [];
  const options = { ...SETTINGS, steps: 3, precision: "float32" } as const;
  for await (const event of trainInMemory({ data: imageDataset(IMAGES), gpu, ...options })) {
    events.push(event.type);
    if (event.type !== "checkpoint") continue;
    const model = await DiffusionModel.fromFiles(event.model!, { gpu, precision: "float32" });
    assert.deepEqual([model.name, model.classes], ["trained", IMAGES.classes]);
    const images = await model.generate({ class: "light", steps: 2 });
    drawn = [images.count, images.height, images.width];
    await model.close();
  }
  assert.deepEqual(drawn, [1, 32, 32]);
  assert.deepEqual([...new Set(events)], [
    "data",
    "start",
    "step",
    "validation",
    "epoch",
    "checkpoint",
    "end",
  ]);
  assert.deepEqual([gpu.memory.live, gpu.memory.used], before);
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
