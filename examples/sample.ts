/**
 * Draws images of classes with a trained model, into one PNG.
 *
 *     deno run -A examples/sample.ts --class cat --class dog --count 4 --seed 7
 *
 * In a project of your own, import from where you have cloned this one; `examples/README.md` says how.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { DDPM } from "../mod.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "checkpoints/cifar10" },
    class: { type: "string", multiple: true, default: ["cat", "horse", "ship"] },
    count: { type: "string", default: "2" },
    steps: { type: "string", default: "15" },
    seed: { type: "string", default: "7" },
    out: { type: "string", default: "sample.png" },
  },
});

// 1. Load the model. It may be a run of `train()`, or a directory that Python's diffusers wrote.
const model = await DDPM.load(values.model);
console.log(`${model.path} on ${model.adapter} knows ${model.classes.join(", ") || "no classes"}`);

// 2. Draw. Image i of the batch depends on `seed + i` and these options alone: the same command, the same picture.
//    Guidance above 1 asks for more of the class, at the price of variety.
const images = await model.generate({
  class: values.class,
  count: Number(values.count),
  steps: Number(values.steps),
  guidance: 2,
  seed: Number(values.seed),
});

// 3. Look. `images.pixels` are bytes of shape [count, height, width, 3]; each image knows what it was drawn with, and so
//    does the PNG.
for (const one of images.metadata) console.log(`seed ${one.seed}: ${one.class}`);
const grid = images.grid({ columns: Number(values.count), scale: 4, rowLabels: values.class });
await Deno.writeFile(values.out, await grid.png());
console.log(`wrote ${values.out}`);

// 4. Give the device's memory back.
await model.close();
