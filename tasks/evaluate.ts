/**
 * `deno task evaluate`: measures how good and how varied a model's samples are.
 *
 * @module
 */
import { basename, join, resolve } from "node:path";
import { DDPM, type ImageDataset } from "../mod.ts";
import { inRgb } from "../lib/data/rgb_images.ts";
import { ConfigError } from "../lib/errors.ts";
import { describeBits, likelihoodSections } from "../lib/evaluation/likelihood_report.ts";
import { Classifier } from "../lib/evaluation/classifier/classifier.ts";
import { MemoryImages } from "../lib/data/image_store.ts";
import { type NearestSummary, neighbourPicture } from "../lib/evaluation/memorisation.ts";
import { type DirectoryLock, lockDirectory } from "../lib/files/directory_lock.ts";
import { writeDurable } from "../lib/files/durable.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { Images } from "../lib/image/images.ts";
import { imageSize } from "../lib/model/config.ts";
import { commandLine } from "../lib/program.ts";
import { TUNING_DIRECTORY } from "../lib/tuning/tuning.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { Interruption } from "../terminal/interruption.ts";
import { argumentsWithoutFile } from "../terminal/cli.ts";
import { standardOutput } from "../terminal/output.ts";
import { checkWritable } from "../terminal/pictures.ts";
import { counted } from "../lib/counted.ts";
import { createReporter, type Reporter, reporterMode } from "../terminal/progress.ts";
import { showTuning } from "../terminal/tuning.ts";
import { runToExit, type Task } from "../terminal/task.ts";
import { EVALUATE_FLAGS, type EvaluateFlags, readEvaluateFlags } from "./evaluation/flags.ts";
import { type EvaluationResult, exportSamples, resultPage, summaryLines } from "./evaluation/output.ts";
import { loadInception, measureByInception } from "./evaluation/inception.ts";
import { type Drawing, drawSamples } from "./evaluation/samples.ts";
import { type Measured, measureSamples, type Measuring, PartTimes } from "./evaluation/measures.ts";
import { likelihoodSize, type MeasuredLikelihood, measureLikelihood } from "./evaluation/likelihood.ts";
import { chooseReference, readEvaluationData } from "./run_data.ts";
import { shippedDirectory } from "./remote_model.ts";
import { modelDirectory, secondModel } from "./runs.ts";
import { showProgress } from "./train.ts";

async function main(args: readonly string[]): Promise<number> {
  const flags = readEvaluateFlags(args);
  const report = createReporter({ mode: reporterMode(flags) });
  const directory = await modelDirectory(flags.model, flags.variant);
  const guide = await secondModel("--guide", flags.guide);
  const out = flags.out ?? join("evaluation", basename(resolve(directory)));
  await checkWritable("--out", out, true);
  const interruption = new Interruption(
    report,
    standardOutput(),
    "ending after this batch; repeat to quit at once without it",
  );
  const gpu = await openTaskGpu();
  const classifier = await Classifier.load(gpu, flags.classifier ?? await shippedDirectory("classifier"));
  const network = await loadInception(gpu, flags, report);
  const onWarning = (message: string) => report.line(`warning: ${message}`);
  const model = await DDPM.load(directory, {
    ...{ gpu, guide, variant: flags.variant, precision: flags.precision, tune: flags.tune },
    ...{ tuningDirectory: TUNING_DIRECTORY, onWarning },
    onTuning: showTuning(report),
  });
  let locked: DirectoryLock | undefined;
  const lock = async () => void (locked = await lockDirectory(out));
  try {
    checkImageSize(model, classifier); // before the data, which may be a download
    const times = new PartTimes();
    const onProgress = showProgress(report);
    const chosen = await chooseReference(flags, directory, model.config);
    const { train, test, heldOut } = await readEvaluationData(chosen, onProgress, onWarning, directory);
    report.stop();
    await interruption.during(async () => {
      const { adapter } = model;
      const { drawing, likelihood } = await runModel({
        ...{ gpu, model, out, flags: { ...flags, guide }, test, report, times, lock },
        signal: interruption.signal,
      });
      if (!drawing.complete) {
        report.line(
          `${drawing.count} of ${flags.images} samples are kept in ${out}; the same command goes on from there`,
        );
        return;
      }
      if (likelihood && !likelihood.complete) {
        const done = likelihood.result?.images ?? 0;
        report.line(
          `the likelihood of ${
            counted(done, `${heldOut} image`)
          } is kept in ${out}; the same command goes on from there`,
        );
        return;
      }
      const data = { train: inRgb(train), test: inRgb(test), heldOut };
      const { signal } = interruption;
      const measured = await measureSamples({
        directory,
        flags,
        classifier,
        drawing,
        data,
        report,
        times,
        signal,
      });
      if (!measured) {
        report.line("the features so far are kept; the same command goes on from there");
        return;
      }
      const inception = network
        ? await times.time(
          "Inception",
          () => measureByInception(network, drawing.images, data, report, signal),
        )
        : null;
      const command = commandLine("evaluate", argumentsWithoutFile(args));
      const result = { ...measured, inception, adapter, command, likelihood: likelihood?.result };
      await write(out, flags, result, drawing, data, report);
    });
    return interruption.exitCode;
  } finally {
    report.stop();
    locked?.release();
    await model.close();
    classifier.destroy();
    await network?.close();
    gpu.close();
  }
}

/** What the model itself is needed for. */
interface ModelWork {
  readonly gpu: Gpu;
  readonly model: DDPM;
  readonly out: string;
  readonly flags: EvaluateFlags;
  readonly test: ImageDataset;
  readonly report: Reporter;
  readonly times: PartTimes;
  /** Locks the directory of the results, which it creates: called once the flags are known to fit the model. */
  lock(): Promise<void>;
  readonly signal: AbortSignal;
}

/** @throws {ConfigError} if the classifier takes images of another size */
function checkImageSize(model: DDPM, { config: { imageSize: size } }: Classifier): void {
  const [height, width] = imageSize(model.config);
  if (height === size && width === size) return;
  const other = height === width
    ? `; ${
      commandLine("train:classifier", ["--data", "DIR", "--size", String(height)])
    } makes one for this model`
    : "";
  const allowed = `a model of ${size}x${size} images, as the classifier takes${other}`;
  throw new ConfigError("--model", `${width}x${height}`, allowed);
}

/** Draws the samples and measures the likelihood, and frees the model. */
async function runModel(
  { gpu, model, out, flags, test, report, times, lock, signal }: ModelWork,
): Promise<{ drawing: Drawing; likelihood: MeasuredLikelihood | undefined }> {
  try {
    report.line(`model ${model.path} on ${model.adapter}`);
    const size = likelihoodSize(flags, gpu.adapter.software, model, test);
    await lock();
    const drawing = await times.time(
      "drawing",
      () => drawSamples(model, join(out, "samples"), flags, report, signal),
    );
    const likelihood = drawing.complete && size.images > 0
      ? await times.time(
        "likelihood",
        () => measureLikelihood(model, drawing.modelDigest, test, out, size, report, signal),
      )
      : undefined;
    return { drawing, likelihood };
  } finally {
    await model.close();
  }
}

/** Writes JSON, pictures, page and export. */
async function write(
  out: string,
  flags: EvaluateFlags,
  measured: Measured & Pick<EvaluationResult, "inception">,
  drawing: Drawing,
  { train, test, heldOut }: Measuring["data"],
  report: Reporter,
): Promise<void> {
  const { height, width } = train;
  const samples = { images: drawing.images, height, width };
  const stored = { ...samples, images: new MemoryImages(drawing.images, height * width * 3) };
  const { neighbours, ...result } = measured;
  const pictures = {
    "samples.png": await firstImages(samples, drawing.count).png(),
    "neighbours.png": await neighbourPicture(neighbours.samples, stored, train, "sample").png(),
    "neighbours-test.png": await neighbourPicture(neighbours.test, test, train, `${heldOut} image`).png(),
  };
  const summaryOf = ({ pairs, ...summary }: NearestSummary) => ({
    ...summary,
    nearest: pairs.slice(0, 10).map(({ of, index, distance }) => ({ image: of, training: index, distance })),
  });
  const json = {
    ...result,
    nearestTraining: {
      samples: summaryOf(neighbours.samples),
      testImages: summaryOf(neighbours.test),
    },
  };
  const likelihood = result.likelihood
    ? await likelihoodSections(result.likelihood, (message) => report.line(`warning: ${message}`))
    : [];
  const encode = (text: string) => new TextEncoder().encode(text);
  const files = new Map<string, Uint8Array>([
    ...Object.entries(pictures),
    ["evaluation.json", encode(`${JSON.stringify(json, null, 2)}\n`)],
    ["evaluation.html", encode(resultPage(json, pictures, likelihood))],
  ]);
  for (const [name, bytes] of files) await writeDurable(join(out, name), bytes);
  if (flags.export) report.line(await exportSamples(out, flags.export, samples, drawing));
  for (const line of summaryLines(json)) report.line(line);
  if (result.likelihood) {
    const { images, condition } = result.likelihood;
    report.line(
      `bits per dimension ${describeBits(result.likelihood)} (${condition}, ${
        counted(images, `${json.data.heldOut} image`)
      })`,
    );
  }
  report.line(`page: ${join(out, "evaluation.html")}; numbers: ${join(out, "evaluation.json")}`);
}

/** Most images in the picture of samples. */
const SHOWN = 100;

function firstImages(
  { images, height, width }: { images: Uint8Array; height: number; width: number },
  count: number,
) {
  const shown = Math.min(SHOWN, count);
  return new Images(images.slice(0, shown * height * width * 3), shown, height, width).grid();
}

/** `deno task evaluate`. */
export const evaluateTask: Task = { main, flags: EVALUATE_FLAGS };

if (import.meta.main) await runToExit(evaluateTask, Deno.args);
