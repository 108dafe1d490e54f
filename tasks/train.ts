/**
 * `deno task train`: trains a model on CIFAR-10 or on images of one's own.
 *
 * @module
 */
import { join } from "node:path";
import { cifar10, DDPM, type EpochRecord, type Gpu, type ImageDataset, train } from "../mod.ts";
import { checkRunDirectory } from "../lib/train/run_plan.ts";
import { AUTO_SOFTWARE_LIMIT, resolveSettings } from "../lib/train/settings.ts";
import { showErrorAndExit } from "./cli.ts";
import { openTaskGpu } from "./gpu.ts";
import { Interruption } from "./interruption.ts";
import {
  drawForwardProcess,
  drawLossCurves,
  drawOrWarn,
  drawReverseProcess,
  type Picture,
  warn,
} from "./pictures.ts";
import { createReporter, type Reporter, reporterMode } from "./progress.ts";
import { discardEmptyRun, makeRunDirectory, newestRun } from "./runs.ts";
import { FLAG_OF, readFlags, settingsOf } from "./train_flags.ts";
import { TrainingReport } from "./training_report.ts";

async function main(args: string[]): Promise<number> {
  const flags = readFlags(args);
  const report = createReporter({ mode: reporterMode(flags) });
  const settings = await settingsOf(flags);
  const resume = flags.resume !== undefined;
  const given = flags.resume === true ? await newestRun("--resume") : flags.resume ?? flags.out;
  const interruption = new Interruption(report);
  const gpu = await openTaskGpu();
  let made: string | undefined;
  try {
    // What can be told to be wrong before 139 MB are fetched is told before.
    if (given !== undefined) await checkRunDirectory(given, resume);
    if (!resume) resolveSettings(settings, gpu.adapter.software, { height: 32, width: 32, classes: 10 });
    const auto = (flags.preset ?? "auto") === "auto" && !flags.config && !resume;
    if (gpu.adapter.software && auto) {
      const images = flags.limit === undefined
        ? `at most ${AUTO_SOFTWARE_LIMIT} images`
        : `${flags.limit} images`;
      report.line(
        `No GPU here, so this is a small run: preset tiny on ${images}. All images: --limit 45000. ` +
          "The real thing, hours on a GPU: deno task train --preset small",
      );
    }
    const data = await cifar10({
      data: flags.data,
      onProgress: ({ message, done, total }) =>
        report.line(total === undefined ? message : `${message} ${done}/${total}`),
    });
    const out = given ?? (made = await makeRunDirectory());
    const training = new TrainingReport(report, out);
    const { signal } = interruption;
    const { sampleEvery, logEvery } = flags;
    let history: readonly EpochRecord[] = [];
    await interruption.during(async () => {
      for await (
        const event of train({ ...settings, data, out, gpu, signal, resume, sampleEvery, logEvery })
      ) {
        await training.on(event);
        if (event.type === "end") history = event.history;
      }
    });
    if (interruption.exitCode === 0) {
      const pictures = await drawPictures(out, history, data, gpu, report);
      report.event({
        type: "artefacts",
        paths: [...training.artefacts, ...pictures.map(({ path }) => path)],
      });
      for (const { path, what } of pictures) report.line(`${what}: ${path}`);
      report.line(`model (a diffusers pipeline directory): ${out}`);
      const [first] = training.classes;
      const flag = first === undefined ? "" : ` --class ${/\s/.test(first) ? `"${first}"` : first}`;
      report.line(`draw from it: deno task sample --model ${out}${flag}`);
    }
    return interruption.exitCode;
  } finally {
    report.stop();
    gpu.close();
    if (made !== undefined) await discardEmptyRun(made);
  }
}

/** The pictures that a run ends with, as many of them as can be drawn. */
async function drawPictures(
  out: string,
  history: readonly EpochRecord[],
  data: ImageDataset,
  gpu: Gpu,
  report: Reporter,
): Promise<Picture[]> {
  const pictures = await drawOrWarn(report, join(out, "loss.png"), () => drawLossCurves(out, history));
  const processes = await drawOrWarn(report, "pictures of the forward and reverse process", async () => {
    const model = await DDPM.load(out, { gpu, onWarning: (message) => warn(report, message) });
    const { schedule } = model;
    const drawn = [
      ...await drawOrWarn(report, join(out, "forward.png"), () => drawForwardProcess(out, schedule, data)),
      ...await drawOrWarn(report, join(out, "reverse.png"), () => drawReverseProcess(out, model, report)),
    ];
    await model.close();
    return drawn;
  });
  return [...pictures, ...processes];
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    showErrorAndExit(error, FLAG_OF);
  }
}
