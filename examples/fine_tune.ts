/**
 * Goes on training a model that has seen many images, on a few of your own.
 *
 *     deno run -A examples/fine_tune.ts --data pets --steps 500 --out runs/pets
 *
 * `pets` is a folder with a folder of images for each class (JPEG, PNG, WebP, GIF; `pets/cat/*.jpg`, `pets/dog/*.jpg`), a
 * folder of images without classes, or a zip or tar of either. Without a GPU, add `--model checkpoints/cifar10-tiny`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { DDPM, loadImages, train } from "../mod.ts";

const { values } = parseArgs({
  options: {
    data: { type: "string" },
    model: { type: "string", default: "checkpoints/cifar10" },
    steps: { type: "string", default: "500" },
    batch: { type: "string", default: "32" },
    out: { type: "string", default: "runs/fine-tuned" },
  },
});
if (values.data === undefined) throw new Error("--data: expected a folder, zip or tar of images");

// 1. The images, brought to the size that the model knows: their centre square, 32 x 32. A file that cannot be read is
//    left out, and counted.
const data = await loadImages(values.data, { size: 32, fit: "crop", onBadFile: "skip" });
for (const [label, name] of data.classes.entries()) {
  console.log(`${name}: ${data.labels.filter((one) => one === label).length} images`);
}

// 2. Train from the model's weights. Its classes give way to yours; all else that it has learned of images stays. A low
//    learning rate and a short average suit a short run.
const settings = {
  steps: Number(values.steps),
  batch: Number(values.batch),
  lr: 1e-4,
  warmup: 20,
  ema: 0.99,
};
for await (const event of train({ data, init: values.model, ...settings, sampleEvery: 0, out: values.out })) {
  if (event.type === "epoch") {
    console.log(`epoch ${event.epoch}: training ${event.trainLoss}, validation ${event.valLoss}`);
  }
  if (event.type === "warning") console.warn(event.message);
}

// 3. Draw what it has learned, the same seeds for every class.
const model = await DDPM.load(values.out);
const names = model.classes.length > 0 ? model.classes : ["none"];
const images = await model.generate({ class: names, count: 4, seed: 1 });
await Deno.writeFile(
  `${values.out}/fine-tuned.png`,
  await images.grid({ columns: 4, rowLabels: names, scale: 4 }).png(),
);
console.log(`wrote ${values.out}/fine-tuned.png`);
await model.close();
