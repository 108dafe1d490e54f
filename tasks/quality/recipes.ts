/**
 * `deno task quality recipes`: trains a preset with several objectives at equal compute, and measures the models.
 *
 * @module
 */
import { join } from "node:path";
import { DDPM, type ImageDataset, train } from "../../mod.ts";
import { readRecipeTable, type RecipeTable } from "../../bench/quality.ts";
import { withError } from "../../bench/quality_page.ts";
import { Classifier } from "../../lib/evaluation/classifier/classifier.ts";
import { evenSubset } from "../../lib/evaluation/subsets.ts";
import { writeDurable } from "../../lib/files/durable.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { planDraw } from "../../lib/sampling/request.ts";
import { ConfigError } from "../../lib/errors.ts";
import { listCheckpoints } from "../../lib/files/checkpoint.ts";
import type { ObjectiveSettings } from "../../lib/train/objective_settings.ts";
import { checkResumedSettings } from "../../lib/train/run_directory.ts";
import { argumentsWithoutFile } from "../../terminal/cli.ts";
import { openTaskGpu } from "../../terminal/gpu.ts";
import { Interruption } from "../../terminal/interruption.ts";
import { standardOutput } from "../../terminal/output.ts";
import { checkWritable } from "../../terminal/pictures.ts";
import { createReporter, type Reporter, reporterMode } from "../../terminal/progress.ts";
import { drawSamples, sameClasses } from "../evaluation/samples.ts";
import { chooseData, readData } from "../run_data.ts";
import { planCell } from "./cells.ts";
import { readRecipesFlags, type RecipesFlags } from "./flags.ts";
import {
  checkSameTable,
  describeData,
  measureAgainstTest,
  type MeasureImages,
  measureTest,
  tableHead,
} from "./measures.ts";
import { shippedDirectory } from "../remote_model.ts";
import { showProgress } from "../train.ts";
import { readNetwork } from "../train_flags.ts";

/** The objectives compared, by name: settings that differ from the defaults. */
const COMPARED: Readonly<Record<string, Partial<ObjectiveSettings>>> = {
  "epsilon-linear": {},
  "v-cosine-min-snr": { objective: "v", schedule: "cosine", weighting: "min-snr" },
  "edm": { objective: "edm" },
  "flow-logit-normal": { objective: "flow", flowTimes: "logit-normal" },
};

/** Ratios of noise to signal at which estimates of x_0 are compared: the same inputs for every objective, up to scale. */
const SIGMAS = [0.1, 0.3, 1, 3, 10];

/** What a comparison works with. */
interface Parts {
  readonly flags: RecipesFlags;
  readonly gpu: Gpu;
  readonly classifier: Classifier;
  readonly train: ImageDataset;
  readonly test: ImageDataset;
  readonly report: Reporter;
  readonly signal: AbortSignal;
}

/** Runs the task; returns the exit code. */
export async function compareRecipes(args: string[]): Promise<number> {
  const flags = readRecipesFlags(args);
  if (flags.channels === 1) throw new ConfigError("--channels", 1, "3: recipes are compared in colour");
  const report = createReporter({ mode: reporterMode(flags) });
  await checkWritable("--out", flags.out);
  await checkWritable("--runs", flags.runs, true);
  const interruption = new Interruption(
    report,
    standardOutput(),
    "saving after this step or batch; repeat to quit at once without it",
  );
  const gpu = await openTaskGpu();
  const classifier = await Classifier.load(gpu, flags.classifier ?? await shippedDirectory("classifier"));
  try {
    const onProgress = showProgress(report);
    const chosen = await chooseData(flags);
    const data = await readData(chosen, onProgress);
    const test = await readData(chosen, onProgress, "test");
    report.stop();
    const parts = { flags, gpu, classifier, train: data, test, report, signal: interruption.signal };
    await interruption.during(() => compare(parts, args));
    return interruption.exitCode;
  } finally {
    report.stop();
    classifier.destroy();
    gpu.close();
  }
}

/** Trains and measures each recipe, and writes the table. */
async function compare(parts: Parts, args: readonly string[]): Promise<void> {
  const { flags, gpu, classifier, test, report, signal } = parts;
  const { steps, batch, seed, evaluations, images, testImages, out } = flags;
  const preset: RecipeTable["preset"] = flags.config === undefined ? flags.preset : "custom";
  const known = {
    classifier: classifier.digest,
    data: describeData(test),
    ...{ seed, preset, steps, batch },
    denoising: { sigmas: SIGMAS, images: testImages },
  };
  const present = await readRecipeTable(out);
  checkSameTable(out, known, present); // before hours of training
  for (const [name, settings] of Object.entries(COMPARED)) {
    await trainRecipe(parts, name, settings);
    if (signal.aborted) return report.line("the runs are kept; the same command goes on from there");
  }
  const measure = await measureAgainstTest(test, classifier, report);
  const recipes: RecipeTable["recipes"] = [];
  let guidance = 1;
  for (const [name, settings] of Object.entries(COMPARED)) {
    const model = await DDPM.load(join(flags.runs, name), { gpu, tune: "off" });
    try {
      guidance = planDraw({ class: [0], guidance: flags.guidance }, model).guidance;
      const measured = await measureModel(parts, model, name, measure);
      if (!measured) return report.line("the images are kept; the same command goes on from there");
      recipes.push({ name, settings: settings as RecipeTable["recipes"][0]["settings"], ...measured });
    } finally {
      await model.close();
    }
    report.line(describeRecipe(recipes.at(-1)!));
  }
  const fixed = { ...known, sampling: { guidance, evaluations } };
  // All rows are made anew, so that earlier commands made none of them.
  const replaced = present && { ...present, commands: [] };
  const command = ["deno", "task", "quality", "recipes", ...argumentsWithoutFile(args)];
  const table: RecipeTable = {
    ...tableHead({ gpu, out, command, fixed, present: replaced }),
    recipes,
    testImages: await measureTest(test, images, measure),
  };
  await writeDurable(out, new TextEncoder().encode(`${JSON.stringify(table, null, 2)}\n`));
}

/**
 * Trains a run to its last step, from where it is.
 *
 * @throws {ConfigError} if the run in the directory has other settings, other images, or more steps
 */
async function trainRecipe(
  { flags, gpu, train: data, report, signal }: Parts,
  name: string,
  settings: Partial<ObjectiveSettings>,
): Promise<void> {
  const { preset, config, steps, batch, seed, runs } = flags;
  const out = join(runs, name);
  const model = config === undefined ? undefined : await readNetwork(config);
  const given = { ...settings, preset, model, steps, batch, seed };
  const [newest] = await listCheckpoints(out);
  if (newest) {
    const { data: { digest } } = await checkResumedSettings(out, given, gpu.adapter);
    const other = digest !== data.digest
      ? "was trained on other images"
      : newest.step > steps
      ? `has ${newest.step} steps`
      : undefined;
    if (other) throw new ConfigError("runs", runs, `another directory: ${name} ${other}`);
    if (newest.step === steps) return;
  }
  const resume = newest !== undefined;
  report.start(steps, `training ${name}`);
  const options = { ...given, sampleEvery: 0, data, out, resume, gpu, signal, tune: "off" } as const;
  for await (const event of train(options)) {
    if (event.type === "step") report.update(event.step, { loss: event.loss.toFixed(4) });
  }
  report.stop();
}

type Measured = Omit<RecipeTable["recipes"][0], "name" | "settings">;

/** Measures a model's samples and estimates; undefined if it was interrupted. */
async function measureModel(
  { flags, classifier, test, report, signal }: Parts,
  model: DDPM,
  name: string,
  measure: MeasureImages,
): Promise<Measured | undefined> {
  const plan = planCell({ sampler: flags.sampler }, flags.evaluations, model);
  const options = { ...flags, ...plan };
  const drawing = await drawSamples(model, join(flags.runs, `${name}-samples`), options, report, signal);
  if (!drawing.complete) return undefined;
  const labels = sameClasses(drawing.classes, classifier.config.classes) ? drawing.labels : null;
  return {
    ...plan,
    ...await measure(drawing.images, labels),
    x0Errors: await x0Errors(model, test, flags.testImages),
  };
}

/** Mean squared errors of the estimate of x_0 of test images at each of {@linkcode SIGMAS}. */
async function x0Errors(model: DDPM, test: ImageDataset, count: number): Promise<number[]> {
  const rows = Math.min(count, 50);
  const pass = await model.startDenoising({ rows });
  const sums = SIGMAS.map(() => 0);
  const chosen = evenSubset(test.count, count);
  for (let first = 0; first < count; first += rows) {
    const some = chosen.subarray(first, first + rows);
    pass.load(test.images.read(some), Array.from(some, (i) => test.labels[i]!));
    for (const [index, sigma] of SIGMAS.entries()) {
      const level = pass.process.levelOfSigma(sigma);
      await pass.run(Array.from(some, (image) => ({ image, index, level })), 0);
    }
    const errors = await pass.readErrors();
    errors.forEach(({ x0Error }, i) => sums[Math.floor(i / some.length)]! += x0Error / count);
  }
  return sums;
}

function describeRecipe(
  { name, frechetDistance, kernelDistance, classConsistency, x0Errors }: RecipeTable["recipes"][0],
) {
  const parts = [
    `Fréchet distance ${withError(frechetDistance, 2)}`,
    `kernel distance ${withError(kernelDistance, 4)}`,
    ...classConsistency ? [`class consistency ${withError(classConsistency, 2)}`] : [],
    `errors of x_0 ${x0Errors.map((error) => error.toPrecision(3)).join(", ")}`,
  ];
  return `${name}: ${parts.join(", ")}`;
}
