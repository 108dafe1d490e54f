import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { makeMaterial, type Outcome, runTask, startTask, TRAINING } from "../support/command.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { makeSplits } from "../support/evaluation/splits.ts";

const SCORED = ["--data", "splits", "--classifier", "scorer"];
const CLASSIFIER = [
  "--data",
  "splits",
  "--preset",
  "small",
  "--epochs",
  "1",
  "--batch",
  "8",
  "--out",
  "scorer",
];

// deno-lint-ignore no-explicit-any
async function readTable(path: string): Promise<any> {
  return JSON.parse(await Deno.readTextFile(path));
}

function succeeded({ code, err }: Outcome): void {
  assert.deepEqual([code, err], [0, ""]);
}

Deno.test("samplers and recipes are compared; what is drawn or trained is kept, and a table grows", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    await makeSplits(directory);
    succeeded(await runTask("train_classifier", CLASSIFIER, directory));
    succeeded(await runTask("train", [...TRAINING, "--steps", "2", "--out", "run"], directory));
    const run = (...args: string[]) => runTask("quality", args, directory);
    const file = join(directory, "table.json");
    const samplers = [
      ...["samplers", "--model", "run", ...SCORED, "--samples", "drawn", "--out", "table.json"],
      ...["--batch", "2", "--solution-images", "2", "--solution-evaluations", "4"],
    ];

    // Interrupted while drawing
    const long = startTask("quality", [...samplers, "--samplers", "ddim", "--images", "4000"], directory);
    await long.until((line) => /drawing samples {2}[1-9]\d*\/4000/.test(line));
    long.child.kill("SIGINT");
    const interrupted = await long.outcome();
    assert.equal(interrupted.code, 130);
    assert.match(interrupted.out, /the images are kept; the same command goes on from there/);
    const part = join(directory, "drawn/ddim-leading-10/part-00000.safetensors");
    const { mtime } = await Deno.stat(part);

    const cells = ["--images", "6", "--evaluations", "3,10"];
    succeeded(await run(...samplers, ...cells, "--samplers", "ddim,heun,ddpm"));
    assert.deepEqual((await Deno.stat(part)).mtime, mtime, "the first part is not drawn again");
    succeeded(await run(...samplers, ...cells, "--samplers", "unipc:karras,ddim"));
    const table = await readTable(file);
    const names = table.cells.map(({ sampler, spacing, steps, evaluations }: Record<string, unknown>) =>
      `${sampler} ${spacing} ${steps} ${evaluations}`
    ).sort();
    assert.deepEqual(names, [
      "ddim leading 10 10",
      "ddim leading 3 3",
      "ddpm leading 10 10",
      "ddpm leading 3 3",
      "heun karras 2 3",
      "heun karras 5 9",
      "unipc karras 10 10",
      "unipc karras 3 3",
    ]);
    for (
      const { sampler, images, frechetDistance, classConsistency, saturated, solutionError } of table.cells
    ) {
      assert.equal(images, 6);
      assert.ok(saturated >= 0 && saturated < 1);
      assert.ok(frechetDistance.value > 0 && frechetDistance.error > 0, "three rounds of two classes");
      assert.ok(classConsistency.value >= 0 && classConsistency.value <= 1);
      if (sampler === "ddpm") assert.equal(solutionError, null);
      else assert.ok(solutionError > 0 && solutionError < 2, `${sampler}: ${solutionError}`);
    }
    assert.equal(table.testImages.length, 1);
    assert.equal(table.commands.length, 2);

    succeeded(await run(...samplers, "--samplers", "ddim", "--evaluations", "3", "--time", "2"));
    const timed = await readTable(file);
    assert.equal(timed.cells.length, 8);
    assert.equal(timed.times.length, 1);
    assert.ok(timed.times[0].seconds > 0);
    // Cells of other guidance stand beside these.
    const guided = ["--guidance", "3", "--guidance-rescale", "0.5", "--guidance-interval", "0.1,inf"];
    succeeded(await run(...samplers, "--images", "6", "--samplers", "ddim", "--evaluations", "3", ...guided));
    const more = await readTable(file);
    assert.equal(more.cells.length, 9);
    const { guidance, guidanceRescale, guidanceInterval } = more.cells.at(-1);
    assert.deepEqual([guidance, guidanceRescale, guidanceInterval], [3, 0.5, [0.1, null]]);
    assert.ok(existsSync(join(directory, "drawn/ddim-leading-3-guidance-3-rescaled-0.5-from-0.1")));

    const other = await run(...samplers, ...cells, "--seed", "5");
    assert.match(
      other.err,
      /^error: --out: expected another file: it has a table with another seed, got "table.json"/,
    );

    // Rows of another adapter would pass for this one's.
    const { environment } = more;
    await Deno.writeTextFile(
      join(directory, "elsewhere.json"),
      JSON.stringify({ ...more, environment: { ...environment, adapter: "another" } }),
    );
    const onAnother = await run(...samplers.with(samplers.indexOf("table.json"), "elsewhere.json"), ...cells);
    assert.match(onAnother.err, /^error: --out: expected another file: it has a table with another adapter/);

    const recipes = [
      ...[
        "recipes",
        ...SCORED,
        "--config",
        "network.json",
        "--steps",
        "2",
        "--batch",
        "4",
        "--images",
        "4",
        "--test-images",
        "3",
      ],
      ...["--evaluations", "2", "--runs", "recipes", "--out", "recipes.json"],
    ];
    const shipped = new URL("../../bench/results/quality/recipes.json", import.meta.url);
    await Deno.copyFile(shipped, join(directory, "recipes.json"));
    const refused = await run(...recipes);
    assert.match(refused.err, /^error: --out: expected another file: it has a table with another classifier/);
    await assert.rejects(
      Deno.stat(join(directory, "recipes/edm")),
      Deno.errors.NotFound,
      "nothing is trained",
    );
    await Deno.remove(join(directory, "recipes.json"));

    succeeded(await run(...recipes));
    const compared = await readTable(join(directory, "recipes.json"));
    assert.equal(compared.commands.length, 1);
    assert.deepEqual(compared.recipes.map(({ name }: { name: string }) => name), [
      "epsilon-linear",
      "v-cosine-min-snr",
      "edm",
      "flow-logit-normal",
    ]);
    for (const { x0Errors, evaluations } of compared.recipes) {
      assert.equal(evaluations, 2);
      assert.equal(x0Errors.length, compared.denoising.sigmas.length);
      assert.ok(x0Errors.every((error: number) => error > 0 && error < 5), String(x0Errors));
      assert.ok(x0Errors[0] < x0Errors.at(-1), "more noise hides more of the image");
    }
    // Runs of other settings are not measured as if they had these.
    const changed = (flag: string, value: string, args = recipes) => args.with(args.indexOf(flag) + 1, value);
    const elsewhere = changed("--out", "other.json");
    const shorter = await run(...changed("--steps", "1", elsewhere));
    assert.match(
      shorter.err,
      /^error: --runs: expected another directory: epsilon-linear has 2 steps, got "recipes"/,
    );
    const seeded = await run(...elsewhere, "--seed", "5");
    assert.match(seeded.err, /^error: --seed: expected 0, with which this run was started/);
  });
});
