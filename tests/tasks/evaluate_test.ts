import assert from "node:assert/strict";
import { join } from "node:path";
import { lockDirectory } from "../../lib/files/directory_lock.ts";
import { makeMaterial, runTask, startTask, TRAINING } from "../support/command.ts";
import { makeSplits } from "../support/evaluation/splits.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const CLASSIFIER = [
  "--data",
  "splits",
  "--preset",
  "small",
  "--epochs",
  "2",
  "--batch",
  "8",
  "--out",
  "scorer",
];
const EVALUATE = [
  ...["--data", "splits", "--model", "run", "--classifier", "scorer"],
  ...["--steps", "2", "--likelihood-images", "4", "--terms", "2"],
];

Deno.test("a classifier is trained, a model is evaluated with it, and an interrupted evaluation goes on", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    await makeSplits(directory);
    const scorer = await runTask("train_classifier", CLASSIFIER, directory);
    assert.deepEqual([scorer.code, scorer.err], [0, ""]);
    assert.match(scorer.out, /\d+\.\d\d % of 8 test images classified right, after 8 of 8 steps/);
    const { training } = JSON.parse(await Deno.readTextFile(join(directory, "scorer/config.json")));
    assert.equal(
      training.command,
      "deno task train:classifier --data splits --preset small --epochs 2 --batch 8 --lr 0.003 --seed 0",
    );

    const model = await runTask("train", [...TRAINING, "--steps", "5", "--out", "run"], directory);
    assert.deepEqual([model.code, model.err], [0, ""]);

    // Interrupted after the first part of many
    const long = [...EVALUATE, "--images", "4000", "--batch", "4", "--out", "scores"];
    const task = startTask("evaluate", long, directory);
    await task.until((line) => /drawing samples {2}\d+/.test(line));
    task.child.kill("SIGINT");
    const interrupted = await task.outcome();
    assert.equal(interrupted.code, 130);
    assert.match(
      interrupted.out,
      /\d+ of 4000 samples are kept in scores; the same command goes on from there/,
    );
    const kept = [...Deno.readDirSync(join(directory, "scores/samples"))].map(({ name }) => name).sort();
    assert.ok(kept.includes("part-00000.safetensors"));
    const first = join(directory, "scores/samples/part-00000.safetensors");
    const { mtime } = await Deno.stat(first);

    const short = [...EVALUATE, "--images", "9", "--batch", "4", "--out", "scores", "--export", "npz"];
    const { code, out, err } = await runTask("evaluate", short, directory);
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, /Fréchet distance +\d/);
    assert.match(out, /class consistency +\d+\.\d % +\d+\.\d %/);
    assert.deepEqual((await Deno.stat(first)).mtime, mtime, "the first part is not drawn again");
    const result = JSON.parse(await Deno.readTextFile(join(directory, "scores/evaluation.json")));
    assert.match(out, /bits per dimension \d+\.\d+ ± \d+\.\d+ \(class-conditional, 4 test images\)/);
    assert.deepEqual([result.likelihood.images, result.likelihood.terms.length], [4, 2]);
    assert.match(result.command, /^deno task evaluate --data splits --model run/);
    assert.equal(result.samples.images, 9);
    assert.equal(result.testImages.images, 8);
    assert.equal(result.nearestTraining.testImages.images, 8);
    const page = await Deno.readTextFile(join(directory, "scores/evaluation.html"));
    assert.match(page, /<h1>Evaluation of run<\/h1>/);
    for (const part of ["Likelihood", "Denoising loss"]) assert.match(page, new RegExp(`<h2>${part}</h2>`));
    assert.equal(page.match(/<img /g)?.length, 5, "two charts and three pictures");
    assert.ok((await Deno.stat(join(directory, "scores/samples.npz"))).size > 9 * 32 * 32 * 3);

    const many = [
      ...EVALUATE.map((value) => value === "4" ? "9" : value),
      ...["--images", "9", "--batch", "4", "--out", "scores"],
    ];
    const refused = await runTask("evaluate", many, directory);
    assert.match(refused.err, /^error: --likelihood-images: expected at most 8, the test images, got 9/);

    // The weights of Inception are read before anything is drawn.
    const unread = await runTask("evaluate", [...short, "--inception", "scorer/config.json"], directory);
    assert.notEqual(unread.code, 0);
    assert.match(unread.err, /^error: scorer\/config\.json: not a PyTorch checkpoint/);

    // A second process does not write among them, nor does it with another request.
    const lock = await lockDirectory(join(directory, "scores"));
    const second = await runTask("evaluate", short, directory);
    assert.match(second.err, /^error: scores is in use by another process \(process \d+ since /);
    lock.release();
    const other = await runTask("evaluate", [...short, "--seed", "5"], directory);
    assert.equal(other.code, 2);
    assert.match(other.err, /^error: --out: .*samples drawn with other seed, got ".*samples"/);

    // Every way to draw can be measured: a guide, a negative class, a stochastic sampler.
    const guided = [
      ...EVALUATE.map((value) => value === "4" ? "0" : value).slice(0, -2),
      ...["--images", "4", "--guide", "run", "--guidance", "3", "--sampler", "ddim", "--eta", "0.5"],
      ...["--out", "guided"],
    ];
    const third = await runTask("evaluate", guided, directory);
    assert.deepEqual([third.code, third.err], [0, ""]);
    const { settings } = JSON.parse(await Deno.readTextFile(join(directory, "guided/evaluation.json")));
    assert.deepEqual([settings.guide, settings.guidance, settings.eta], ["run", 3, 0.5]);
    // A guide of the same name with other weights draws other samples.
    const weaker = await runTask("train", [...TRAINING, "--steps", "3", "--out", "weaker/run"], directory);
    assert.deepEqual([weaker.code, weaker.err], [0, ""]);
    const otherGuide = guided.map((value, i) => guided[i - 1] === "--guide" ? "weaker/run" : value);
    const fourth = await runTask("evaluate", otherGuide, directory);
    assert.match(fourth.err, /^error: --out: .*samples drawn with other guideWeights, got ".*samples"/);
  });
});

Deno.test("a classifier needs classes and images to test it with, and evaluation a classifier of the model's size", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    await Deno.mkdir(join(directory, "one/light"), { recursive: true });
    await Deno.copyFile(join(directory, "images/light/0.png"), join(directory, "one/light/0.png"));
    const of = (data: string, ...more: string[]) =>
      runTask("train_classifier", ["--data", data, "--epochs", "1", "--batch", "4", ...more], directory);
    const flat = await of("images/light");
    assert.deepEqual([flat.code, flat.err], [
      2,
      'error: --data: expected images of two classes or more, such as a folder with a subfolder for each, got "images/light"\n',
    ]);
    const one = await of("one");
    assert.deepEqual([one.code, one.err], [
      1,
      "error: one: no test images, and 1 image is too few to leave one out in ten: expected more, or the folders train and test\n",
    ]);
    const small = await of("images", "--size", "16", "--fit", "squash", "--out", "small");
    assert.deepEqual([small.code, small.err], [0, ""]);
    const { training } = JSON.parse(await Deno.readTextFile(join(directory, "small/config.json")));
    assert.match(training.command, / --data images --size 16 --fit squash --preset small --epochs 1 /);
    const model = await runTask("train", [...TRAINING, "--steps", "1", "--out", "run"], directory);
    assert.deepEqual([model.code, model.err], [0, ""]);
    const { err } = await runTask(
      "evaluate",
      ["--model", "run", "--classifier", "small", "--data", "images"],
      directory,
    );
    assert.match(
      err,
      /--model: expected a model of 16x16 images, as the classifier takes; deno task train:classifier --data DIR --size 32 makes one for this model, got "32x32"/,
    );
  });
});

Deno.test("images without a test split: the run's validation images take the place of test images", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    await makeSplits(directory);
    const data = "splits/train"; // 32 images, of which a run leaves 3
    const own = (args: readonly string[]) => args.map((value) => value === "splits" ? data : value);
    const scorer = await runTask("train_classifier", own(CLASSIFIER), directory);
    assert.deepEqual([scorer.code, scorer.err], [0, ""]);
    assert.match(scorer.out, /^splits\/train has no test images: 3 validation images take their place$/m);
    assert.match(scorer.out, /% of 3 validation images classified right/);

    const train = ["--data", data, "--config", "network.json", "--seed", "5", "--batch", "4", "--steps", "3"];
    const model = await runTask("train", [...train, "--out", "run"], directory);
    assert.deepEqual([model.code, model.err], [0, ""]);
    const evaluate = own(EVALUATE).slice(2).map((value) => value === "4" ? "2" : value);
    const { code, out, err } = await runTask(
      "evaluate",
      [...evaluate, "--images", "4", "--out", "scores"],
      directory,
    );
    assert.deepEqual([code, err], [0, ""]);
    assert.match(
      out,
      /splits\/train has no test images: 3 validation images, which the run was not trained on, take their place/,
    );
    assert.match(out, /4 samples +validation images/);
    assert.match(out, /2 validation images\)$/m);
    const result = JSON.parse(await Deno.readTextFile(join(directory, "scores/evaluation.json")));
    assert.deepEqual([result.data.heldOut, result.data.images, result.testImages.images], [
      "validation",
      29,
      3,
    ]);
  });
});
