import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { imageDataset } from "../../../lib/data/image_dataset.ts";
import { Classifier } from "../../../lib/evaluation/classifier/classifier.ts";
import {
  type ClassifierConfig,
  classifierConfigFromJson,
  classifierConfigToJson,
} from "../../../lib/evaluation/classifier/config.ts";
import { readClassifier, writeClassifier } from "../../../lib/evaluation/classifier/files.ts";
import { classifierParameters } from "../../../lib/evaluation/classifier/pass.ts";
import { oneCycle } from "../../../lib/evaluation/classifier/learning_rate.ts";
import { CLASSIFIER_PRESETS } from "../../../lib/evaluation/classifier/presets.ts";
import { trainClassifier } from "../../../lib/evaluation/classifier/training.ts";
import { assertClose } from "../../support/close.ts";
import { testGpu } from "../../support/gpu.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

const config: ClassifierConfig = {
  imageSize: 8,
  classes: ["dark", "light", "striped"],
  groups: 2,
  stages: [{ channels: 4, blocks: 1 }, { channels: 6, blocks: 1 }],
};

/** Images of three classes that a small network can tell apart. */
function images(count: number, first: number) {
  const labels = Uint8Array.from({ length: count }, (_, n) => n % 3);
  const pixels = Uint8Array.from({ length: count * 8 * 8 * 3 }, (_, i) => {
    const [n, column] = [Math.floor(i / 192), Math.floor(i / 3) % 8];
    const texture = (i * (n + first + 3)) % 50;
    return [20, 190, column % 4 < 2 ? 20 : 190][n % 3]! + texture;
  });
  const parts = { name: "shades", images: pixels, labels, classes: config.classes, height: 8, width: 8 };
  return imageDataset(parts);
}

const [train, test] = [images(48, 0), images(21, 48)];
const settings = { ...CLASSIFIER_PRESETS.small.settings, epochs: 6, batch: 12, shift: 1, learningRate: 1e-2 };

Deno.test("a classifier learns, has the same bits for the same seed, and gives the same answers from its files", async () => {
  const gpu = await testGpu();
  const losses: number[] = [];
  const run = { gpu, config, settings, train, test };
  const trained = await trainClassifier(run, ({ loss }) => void losses.push(loss));
  assert.deepEqual([trained.step, trained.totalSteps], [24, 24]);
  assert.ok(losses.at(-1)! < losses[0]!);
  assert.ok(trained.accuracy >= 0.9, `accuracy ${trained.accuracy}`);
  assert.deepEqual((await trainClassifier(run)).tensors, trained.tensors);

  await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "scorer");
    await writeClassifier(path, config, trained.tensors, { seed: settings.seed });
    const classifier = await Classifier.load(gpu, path);
    try {
      assert.deepEqual(classifier.config, config);
      assert.equal(classifier.featureCount, 6);
      let done = 0;
      const { features, probabilities } = await classifier.run(
        test.images.range(),
        (count) => void (done = count),
      );
      assert.deepEqual([done, features.length, probabilities.length], [21, 21 * 6, 21 * 3]);
      const sums = Array.from(
        { length: 21 },
        (_, n) => probabilities.subarray(3 * n, 3 * n + 3).reduce((a, b) => a + b),
      );
      assertClose(sums, sums.map(() => 1), { absolute: 1e-6 });
      // An image has the same features whatever is beside it.
      const alone = await classifier.run(test.images.range(5, 6));
      assert.deepEqual(alone.features, features.slice(5 * 6, 6 * 6));
      await assert.rejects(classifier.run(new Uint8Array(100)), /whole images of 192 bytes, got 100/);
    } finally {
      classifier.destroy();
    }
  });
});

Deno.test("training ends early at a signal, and a batch larger than the data is refused", async () => {
  const gpu = await testGpu();
  const controller = new AbortController();
  const run = { gpu, config, settings, train, test, signal: controller.signal };
  const { step } = await trainClassifier(run, () => controller.abort());
  assert.equal(step, 1);
  const large = { ...settings, batch: 49 };
  await assert.rejects(
    trainClassifier({ ...run, settings: large }),
    /batch: expected a whole number from 1 to 48, got 49/,
  );
});

Deno.test("the learning rate rises in a fifth of the steps and ends at zero", () => {
  const rates = Array.from({ length: 100 }, (_, step) => oneCycle(step, 100, 2));
  assertClose([rates[0]!, rates[9]!, rates[19]!, rates[59]!, rates[99]!], [0.1, 1, 2, 1, 0], {
    absolute: 1e-12,
  });
  assert.equal(Math.max(...rates), 2);
});

Deno.test("a classifier's configuration survives JSON, and errors name the field", () => {
  const json = classifierConfigToJson(config);
  assert.deepEqual(classifierConfigFromJson(JSON.parse(JSON.stringify(json))), config);
  const refused = (change: Record<string, unknown>, message: RegExp) =>
    assert.throws(() => classifierConfigFromJson({ ...json, ...change }), message);
  refused({ classes: "cat" }, /classes: expected a list of class names/);
  refused({ stages: [{ channels: 5, blocks: 1 }] }, /channels: expected a multiple of the 2 groups, got 5/);
  refused({ image_size: undefined }, /imageSize: expected a whole number/);
});

Deno.test("a directory without a classifier says which file is missing or wrong", async () => {
  await inTemporaryDirectory(async (directory) => {
    await assert.rejects(readClassifier(directory), /config\.json/);
    await Deno.writeTextFile(join(directory, "config.json"), '{"sample_size": 32}');
    await assert.rejects(readClassifier(directory), /config\.json: no classifier's configuration: classes/);
  });
});

Deno.test("the classifier that comes with the project can be read, and says how it was trained", async () => {
  const directory = fileURLToPath(new URL("../../../checkpoints/classifier", import.meta.url));
  const { config, tensors } = await readClassifier(directory);
  assert.equal(config.classes[3], "cat");
  assert.equal(classifierParameters(config).toMemory(tensors, directory).every(Number.isFinite), true);
  const { training } = JSON.parse(await Deno.readTextFile(join(directory, "config.json")));
  assert.ok(training.test_accuracy > 0.8);
  assert.match(training.command, /^deno task train:classifier --preset small /);
});
