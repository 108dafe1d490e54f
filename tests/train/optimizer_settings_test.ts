/** Each setting of optimizer and batch changes what it says, from `train()` to the weights on disk. */
import assert from "node:assert/strict";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { loadLatestCheckpoint } from "../../lib/files/checkpoint.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { assertClose } from "../support/close.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { patternImages, run } from "../support/train/micro.ts";

const LR = 0.01;

/** Weights and moments of all parameters after one step, concatenated in the order of their names. */
async function afterOneStep(options: Partial<TrainOptions>) {
  return await inTemporaryDirectory(async (out) => {
    await run({ lr: LR, warmup: 0, clip: 0, ...options, out, steps: 1 });
    const { trainerTensors } = await loadLatestCheckpoint(out);
    const all = (prefix: string) =>
      [...trainerTensors].filter(([name]) => name.startsWith(`${prefix}.`)).sort()
        .flatMap(([, { data }]) => [...data]);
    return { weights: all("raw"), first: all("m"), second: all("v") };
  });
}

const plain = await afterOneStep({});
// The first moment is a tenth of the gradient after one step.
const gradients = plain.first.map((m) => m / 0.1);

Deno.test("beta1 is the decay of the first moment", async () => {
  const { first, second } = await afterOneStep({ beta1: 0.5 });
  assertClose(first, gradients.map((g) => 0.5 * g), { absolute: 0, relative: 1e-6 }, "first moment");
  assert.deepEqual(second, plain.second);
});

Deno.test("beta2 is the decay of the second moment", async () => {
  const { first, second } = await afterOneStep({ beta2: 0.9 });
  assertClose(
    second,
    gradients.map((g) => 0.1 * g * g),
    { absolute: 1e-30, relative: 1e-5 },
    "second moment",
  );
  assert.deepEqual(first, plain.first);
});

Deno.test("eps is added to the root of the second moment", async () => {
  const { weights } = await afterOneStep({ eps: 0.5 });
  // Both moments are corrected to the gradient and its square.
  const step = (g: number, eps: number) => LR * g / (Math.abs(g) + eps);
  const moved = plain.weights.map((weight, i) =>
    weight + step(gradients[i]!, 1e-8) - step(gradients[i]!, 0.5)
  );
  assertClose(weights, moved, { absolute: 1e-6, relative: 0 }, "weights");
});

Deno.test("weight decay takes its share of the learning rate off the weights", async () => {
  const { weights } = await afterOneStep({ weightDecay: 0.5 });
  const initial = plain.weights.map((weight, i) => {
    const g = gradients[i]!;
    return weight + LR * g / (Math.abs(g) + 1e-8);
  });
  const moved = plain.weights.map((weight, i) => weight - LR * 0.5 * initial[i]!);
  assertClose(weights, moved, { absolute: 1e-6, relative: 0 }, "weights");
});

Deno.test("without flips no image is mirrored, and with them mirrored images train as their originals", async () => {
  const data = patternImages(40);
  const images = data.images.range();
  const mirroredImages = mirror(images, data.width);
  const mirrored = imageDataset({ ...data, images: mirroredImages });
  const originals = await afterOneStep({ data, flip: false });
  assert.notDeepEqual(originals.first, plain.first, "flips change the batch");
  assert.notDeepEqual((await afterOneStep({ data: mirrored, flip: false })).first, originals.first);
  const symmetric = imageDataset({
    ...data,
    images: images.map((value, i) => Math.max(value, mirroredImages[i]!)),
  });
  assert.deepEqual(
    await afterOneStep({ data: symmetric, flip: false }),
    await afterOneStep({ data: symmetric, flip: true }),
  );
});

function mirror(images: Uint8Array, width: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(images, (_, i) => {
    const [pixel, channel] = [Math.floor(i / 3), i % 3];
    const x = pixel % width;
    return images[3 * (pixel - x + width - 1 - x) + channel]!;
  });
}
