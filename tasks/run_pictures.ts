/**
 * Pictures at the end of a training run: loss curves, forward process, reverse process.
 *
 * @module
 */
import { join } from "node:path";
import {
  type DDPM,
  type ImageDataset,
  Images,
  type NoiseLevel,
  NoiseSchedule,
  planSampling,
} from "../mod.ts";
import { RectifiedFlow } from "../lib/diffusion/rectified_flow.ts";
import type { TrainedProcess } from "../lib/diffusion/trained_process.ts";
import { encodeGif } from "../lib/image/animation.ts";
import { lossChart } from "../lib/image/chart.ts";
import { strip } from "../lib/image/process.ts";
import { sigmaOf } from "../lib/diffusion/forward_process.ts";
import { mostSteps } from "../lib/diffusion/sampler.ts";
import { evenly, noisedImages, shownTimesteps } from "../lib/sampling/illustrate.ts";
import { chooseSampler } from "../lib/sampling/request.ts";
import { shownSteps } from "../lib/sampling/moments.ts";
import { type Picture, writePicture } from "../terminal/pictures.ts";
import type { Reporter } from "../terminal/progress.ts";

/** Timesteps shown in the strips. */
const STRIP_FRAMES = 10;
/** Frames of the animation. */
const GIF_FRAMES = 25;
/** Classes shown in the strips and in the animation. */
const STRIP_CLASSES = 4;
const GIF_CLASSES = 10;
/** Steps of the reverse process shown. */
const STEPS = 100;
/** Ratio of largest to smallest loss above which the axis is logarithmic. */
const LINEAR_RANGE = 3;

/** `loss.png`: training and validation loss per epoch. */
export async function drawLossCurves(
  out: string,
  history: readonly { epoch: number; trainLoss: number; valLoss: number | null }[],
): Promise<Picture[]> {
  if (history.length === 0) return [];
  const training = history.map(({ epoch, trainLoss }) => ({ x: epoch, y: trainLoss }));
  const validation = history.flatMap(({ epoch, valLoss }) =>
    valLoss === null ? [] : [{ x: epoch, y: valLoss }]
  );
  const losses = [...training, ...validation].map(({ y }) => y);
  const logY = Math.min(...losses) > 0 && Math.max(...losses) > LINEAR_RANGE * Math.min(...losses);
  const series = [{ name: "training", points: training }, { name: "validation (EMA)", points: validation }];
  const path = join(out, "loss.png");
  const chart = await lossChart(series, {
    title: "Loss per epoch",
    xLabel: "epoch",
    yLabel: logY ? "loss, log scale" : "loss",
    logY,
  });
  await writePicture(path, chart);
  return [{ path, what: "loss curves" }];
}

/** `forward.png`: the forward process on images of the data, one per row. */
export async function drawForwardProcess(
  out: string,
  process: TrainedProcess,
  data: ImageDataset,
): Promise<Picture[]> {
  const { images, labels, classes, height, width } = data;
  const levels = shownLevels(process);
  const shown = evenly(classes.length, STRIP_CLASSES).filter((label) => labels.includes(label));
  const rows = shown.length > 0 ? shown.map((label) => labels.indexOf(label)) : [0];
  const processes = rows.map((row) => noisedImages(images.read([row]), height, width, levels));
  // A process has an image per level.
  const frames = levels.map((_, i) => Images.concat(processes.map((process) => process[i]!)));
  const names = shown.map((label) => classes[label]!); // as above, evenly() chooses classes that there are
  const picture = strip(frames, {
    captions: levels.map(({ caption }) => caption),
    scale: 2,
    ...(names.length > 0 ? { rowLabels: names } : {}),
  });
  const path = join(out, "forward.png");
  await writePicture(
    path,
    await picture.png({ class: names.join(", ") || "none", image: rows.join(", "), seed: "0" }),
  );
  return [{ path, what: "forward process, noise added" }];
}

/** Largest ratio of noise to signal that is shown: images are noise long before. */
const SHOWN_SIGMA = 80;

/** Levels for the picture of a forward process, least noise first, with captions. */
function shownLevels(process: TrainedProcess): (NoiseLevel & { readonly caption: string })[] {
  if (process instanceof NoiseSchedule) {
    return shownTimesteps(STRIP_FRAMES, process.config.numTrainTimesteps - 1).reverse()
      .map((t) => ({ ...process.level(t), caption: captionOf(process, process.level(t)) }));
  }
  // Even in the seventh root of sigma, as in sampling (Karras et al. 2022, equation 5).
  const [least, most] = [process.sigmaMin, Math.min(process.sigmaMax, SHOWN_SIGMA)].map((s) => s ** (1 / 7));
  return Array.from({ length: STRIP_FRAMES }, (_, i) => {
    const sigma = (least! + (most! - least!) * i / (STRIP_FRAMES - 1)) ** 7;
    const level = process.levelOfSigma(Math.min(Math.max(sigma, process.sigmaMin), process.sigmaMax));
    return { ...level, caption: captionOf(process, level) };
  });
}

/** Timestep of a schedule, time of rectified flow, or EDM's ratio of noise to signal. */
function captionOf(process: TrainedProcess, level: NoiseLevel): string {
  if (process instanceof NoiseSchedule) return `t=${Math.round(level.timestep)}`;
  const [symbol, value] = process instanceof RectifiedFlow ? ["t", level.noise] : ["σ", sigmaOf(level)];
  return `${symbol}=${Number(value.toPrecision(2))}`;
}

/**
 * The reverse process: `reverse.png`, x_t and the estimate of x_0 for a few classes; `reverse.gif`, x_t of more classes,
 * animated.
 */
export async function drawReverseProcess(out: string, model: DDPM, report: Reporter): Promise<Picture[]> {
  const { schedule, classes } = model;
  const shown = evenly(classes.length, GIF_CLASSES);
  const names = shown.map((label) => classes[label]!); // evenly() chooses below its first argument
  const choice = chooseSampler({}, model);
  const steps = mostSteps(schedule, STEPS, choice);
  const plan = planSampling(choice.sampler, schedule, { ...choice, steps });
  const timesteps = plan.map(({ timestep }) => timestep); // at least one
  const inStrip = momentsNear(shownTimesteps(STRIP_FRAMES, timesteps[0]!), timesteps);
  const inGif = shownSteps(plan.length, { count: GIF_FRAMES, spacing: "late" });
  // x_t is the result of the step before.
  const kept = ascending([...inGif, ...inStrip.flatMap((step) => [step - 1, step])]);
  report.start(plan.length, "drawing the reverse process");
  const { images, noisy, predicted } = await model.trajectory({
    class: names.length > 0 ? names : undefined,
    count: names.length > 0 ? 1 : STRIP_CLASSES,
    steps,
    seed: 1,
    onStep: (done) => report.update(done, {}),
  }, kept);
  report.stop();

  const rows = evenly(images.count, STRIP_CLASSES);
  const pairs = inStrip.map((step) => {
    // Both steps are among those kept.
    const [xt, estimate] = [noisy[kept.indexOf(step - 1)]!, predicted[kept.indexOf(step)]!];
    return Images.concat(rows.flatMap((row) => [xt.at(row), estimate.at(row)]));
  });
  const picture = strip(pairs, {
    captions: inStrip.map((step) => captionOf(schedule, plan[step]!.level)),
    rowLabels: rows.flatMap((
      row,
    ) => [names[row] === undefined ? "x_t" : `${names[row]}, x_t`, "estimate of x_0"]),
    scale: 2,
  });
  const reverse: Picture = { path: join(out, "reverse.png"), what: "reverse process, noise removed" };
  await writePicture(
    reverse.path,
    await picture.png(metadataOf(Images.concat(rows.map((row) => images.at(row))))),
  );

  const frames = inGif.map((step) => noisy[kept.indexOf(step)]!.grid({ columns: 5, scale: 2 }));
  const animation: Picture = { path: join(out, "reverse.gif"), what: "reverse process, animated" };
  await writePicture(
    animation.path,
    await encodeGif(frames),
  );
  return [reverse, animation];
}

/** Steps whose timesteps are nearest to the wanted ones, ascending, without duplicates or the first step. */
function momentsNear(wanted: readonly number[], timesteps: readonly number[]): number[] {
  const later = timesteps.slice(1);
  const distances = (t: number) => later.map((timestep) => Math.abs(timestep - t));
  return ascending(wanted.map((t) => 1 + distances(t).indexOf(Math.min(...distances(t)))));
}

function ascending(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** Metadata of images, as text for one picture of them all. */
function metadataOf(images: Images): Record<string, string> {
  const [metadata = {}] = images.grid().metadata;
  return Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, String(value)]));
}
