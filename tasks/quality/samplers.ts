/**
 * `deno task quality samplers`: draws the same images with several samplers, and measures them.
 *
 * @module
 */
import { join } from "node:path";
import { DDPM, type ImageDataset } from "../../mod.ts";
import {
  type CellPlan,
  type GuidedPlan,
  type QualityMeasures,
  readSamplerTable,
  samePlan,
  type SamplerCell,
  type SamplerTable,
} from "../../bench/quality.ts";
import { withError } from "../../bench/quality_page.ts";
import { Classifier } from "../../lib/evaluation/classifier/classifier.ts";
import { writeDurable } from "../../lib/files/durable.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { argumentsWithoutFile } from "../../terminal/cli.ts";
import { openTaskGpu } from "../../terminal/gpu.ts";
import { Interruption } from "../../terminal/interruption.ts";
import { standardOutput } from "../../terminal/output.ts";
import { checkWritable } from "../../terminal/pictures.ts";
import { createReporter, type Reporter, reporterMode } from "../../terminal/progress.ts";
import { inRgb } from "../../lib/data/rgb_images.ts";
import { chooseData, frameOf, readData } from "../run_data.ts";
import { digestOfModel, drawSamples, sameClasses, sampleClass } from "../evaluation/samples.ts";
import { givenGuidance, isDeterministic, nameOfPlan, pixelError, planCell, withGuidance } from "./cells.ts";
import { readSamplersFlags, type SamplersFlags } from "./flags.ts";
import {
  describeData,
  measureAgainstTest,
  measureTest,
  saturatedShare,
  shownPath,
  tableHead,
} from "./measures.ts";
import { shippedDirectory } from "../remote_model.ts";
import { showProgress } from "../train.ts";

/** What a comparison works with. */
interface Parts {
  readonly flags: SamplersFlags;
  readonly model: DDPM;
  readonly classifier: Classifier;
  readonly test: ImageDataset;
  readonly report: Reporter;
  readonly signal: AbortSignal;
}

/** Runs the task; returns the exit code. */
export async function compareSamplers(args: string[]): Promise<number> {
  const flags = readSamplersFlags(args);
  const report = createReporter({ mode: reporterMode(flags) });
  await checkWritable("--out", flags.out);
  await checkWritable("--samples", flags.samples, true);
  const interruption = new Interruption(
    report,
    standardOutput(),
    "ending after this batch; repeat to quit at once without it",
  );
  const gpu = await openTaskGpu();
  const onWarning = (message: string) => report.line(`warning: ${message}`);
  const model = await DDPM.load(flags.model ?? await shippedDirectory("cifar10"), { gpu, onWarning });
  const classifier = await Classifier.load(gpu, flags.classifier ?? await shippedDirectory("classifier"));
  try {
    const chosen = { ...frameOf(model.config), ...await chooseData(flags) };
    const test = inRgb(await readData(chosen, showProgress(report), "test"));
    report.stop();
    const parts = { flags, model, classifier, test, report, signal: interruption.signal };
    const table = await openTable(parts, args, gpu);
    await interruption.during(async () => {
      if (flags.time === undefined) await drawCells(parts, table);
      else await timeCells(parts, table, flags.time);
    });
    return interruption.exitCode;
  } finally {
    report.stop();
    await model.close();
    classifier.destroy();
    gpu.close();
  }
}

/** The table in the file, to be added to, or a new one. */
async function openTable(
  { flags, model, classifier, test }: Parts,
  args: readonly string[],
  gpu: Gpu,
): Promise<SamplerTable> {
  const { out, seed } = flags;
  const fixed = {
    classifier: classifier.digest,
    data: describeData(test),
    seed,
    model: { path: shownPath(model.path), digest: await digestOfModel(model.path) },
  };
  const present = await readSamplerTable(out);
  const command = ["deno", "task", "quality", "samplers", ...argumentsWithoutFile(args)];
  return {
    ...{ solution: null, cells: [], testImages: [], times: [], ...present },
    ...tableHead({ gpu, out, command, fixed, present }),
  };
}

/** Plans of all cells that the flags name. */
function plansOf({ flags, model }: Parts): GuidedPlan[] {
  return flags.evaluations.flatMap((limit) =>
    flags.samplers.map((choice) => withGuidance(planCell(choice, limit, model), flags, model))
  );
}

/** Draws and measures all cells, and writes the table after each; images that are kept are not drawn again. */
async function drawCells(parts: Parts, table: SamplerTable): Promise<void> {
  const { flags, model, classifier, report, signal, test } = parts;
  const { images, solutionImages, solutionEvaluations } = flags;
  const draw = async ({ sampler, spacing, steps }: CellPlan, images: number, name: string) => {
    report.line(name);
    const options = { ...flags, sampler, spacing, steps, images };
    const drawing = await drawSamples(model, join(flags.samples, name), options, report, signal);
    if (!drawing.complete) report.line("the images are kept; the same command goes on from there");
    return drawing;
  };
  const measure = await measureAgainstTest(test, classifier, report);
  const ofTest = await measureTest(test, images, measure);
  let written: SamplerTable = { ...table, testImages: replaced(table.testImages, ofTest, () => true) };
  let solution: Uint8Array | undefined;
  if (solutionImages > 0) {
    const plan = planCell({ sampler: "dpm++2m" }, solutionEvaluations, model);
    const name = `solution-${nameOfPlan(withGuidance(plan, flags, model), flags)}`;
    const drawing = await draw(plan, solutionImages, name);
    if (!drawing.complete) return;
    written = { ...written, solution: { ...plan, images: solutionImages } };
    solution = drawing.images;
  }
  for (const plan of plansOf(parts)) {
    const drawing = await draw(plan, images, nameOfPlan(plan, flags));
    if (!drawing.complete) return;
    const labels = sameClasses(drawing.classes, classifier.config.classes) ? drawing.labels : null;
    const cell: SamplerCell = {
      ...plan,
      ...await measure(drawing.images, labels),
      saturated: saturatedShare(drawing.images),
      solutionError: solution && isDeterministic(plan) ? pixelError(drawing.images, solution) : null,
    };
    written = { ...written, cells: replaced(written.cells, cell, samePlan) };
    report.line(describeMeasures(cell));
    await write(flags, written);
  }
}

/** Rows with a new one, in place of that of as many images that is `same`. */
function replaced<T extends QualityMeasures>(rows: readonly T[], row: T, same: (a: T, b: T) => boolean): T[] {
  return [...rows.filter((other) => other.images !== row.images || !same(other, row)), row];
}

/** Measures seconds per image of each cell, one at a time, and writes the table after each. */
async function timeCells(parts: Parts, table: SamplerTable, images: number): Promise<void> {
  const { flags, model, report, signal } = parts;
  const options = { ...givenGuidance(flags), class: [sampleClass(model, 0)], batch: 1 };
  // Compiles the kernels
  await model.generate({ ...options, steps: 1 });
  let { times } = table;
  for (const plan of plansOf(parts)) {
    const { sampler, spacing, steps } = plan;
    const began = performance.now();
    await model.generate({ ...options, sampler, spacing, steps, count: images, seed: flags.seed });
    if (signal.aborted) return;
    const seconds = (performance.now() - began) / 1000 / images;
    times = [...times.filter((time) => !samePlan(time, plan)), { ...plan, images, seconds }];
    report.line(`${nameOfPlan(plan, flags)}: ${seconds.toFixed(2)} s an image`);
    await write(flags, { ...table, times });
  }
}

async function write({ out }: SamplersFlags, table: SamplerTable): Promise<void> {
  await writeDurable(out, new TextEncoder().encode(`${JSON.stringify(table, null, 2)}\n`));
}

function describeMeasures(cell: SamplerCell) {
  const { frechetDistance, kernelDistance, classConsistency, saturated, solutionError } = cell;
  const parts = [
    `Fréchet distance ${withError(frechetDistance, 2)}`,
    `kernel distance ${withError(kernelDistance, 4)}`,
    ...classConsistency ? [`class consistency ${withError(classConsistency, 2)}`] : [],
    `saturated ${(100 * saturated).toFixed(1)} %`,
    ...solutionError === null ? [] : [`${solutionError.toFixed(3)} from the solution`],
  ];
  return `  ${parts.join(", ")}`;
}
