/**
 * The pictures that a training run ends with.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { type DDPM, forwardProcess, type ImageDataset, type Images } from "../mod.ts";
import { CheckpointError } from "../lib/errors.ts";
import { encodeGif } from "../lib/image/animation.ts";
import { lossChart } from "../lib/image/chart.ts";
import { strip } from "../lib/image/process.ts";
import type { Reporter } from "./progress.ts";

/** A picture on the disk. */
export interface Picture {
  readonly path: string;
  readonly what: string;
}

/**
 * Writes a picture, and the folder for it where that is missing.
 * @throws {CheckpointError} naming the file
 */
export async function writePicture(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.writeFile(path, bytes);
  } catch (error) {
    throw new CheckpointError(`cannot write ${path}: ${(error as Error).message}`);
  }
}

/** Moments of the strips. */
const STRIP_FRAMES = 10;
/** Moments of the forward process, as shares of the last timestep. */
const NOISE_LEVELS = [0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1];
/** Moments of the animation. */
const GIF_FRAMES = 25;
/** Steps of the reverse process that is shown. */
const STEPS = 100;

/** `loss.png`: both curves over the epochs. */
export async function drawLossCurves(
  out: string,
  history: readonly { epoch: number; trainLoss: number; valLoss: number | null }[],
  report: Reporter,
): Promise<Picture[]> {
  if (history.length === 0) return [];
  const training = history.map(({ epoch, trainLoss }) => ({ x: epoch, y: trainLoss }));
  const validation = history.flatMap(({ epoch, valLoss }) =>
    valLoss === null ? [] : [{ x: epoch, y: valLoss }]
  );
  const series = [{ name: "training", points: training }, { name: "validation (EMA)", points: validation }];
  const path = join(out, "loss.png");
  let chart: Uint8Array;
  try {
    chart = await lossChart(series, {
      title: "Loss per epoch",
      xLabel: "epoch",
      yLabel: "mean squared error of the noise",
    });
  } catch (error) {
    // The curve's libraries come from the package cache; a machine without them still has metrics.jsonl.
    report.line(`warning: ${path} was not drawn: ${(error as Error).message}`);
    return [];
  }
  await writePicture(path, chart);
  return [{ path, what: "loss curves" }];
}

/** The forward process as a strip; the reverse process as a strip and an animation, one row per class. */
export async function drawProcesses(
  out: string,
  model: DDPM,
  data: ImageDataset,
  report: Reporter,
): Promise<Picture[]> {
  const { schedule, classes } = model;
  const last = schedule.config.numTrainTimesteps - 1;
  const pixels = data.height * data.width * 3;
  // Closer together where the image is still to be seen.
  const timesteps = NOISE_LEVELS.map((level) => Math.round(level * last));
  const frames = forwardProcess(
    data.images.subarray(0, pixels),
    data.height,
    data.width,
    schedule,
    timesteps,
  );
  const captions = timesteps.map((t) => `t=${t}`);
  const forward: Picture = { path: join(out, "forward.png"), what: "forward process, noise added" };
  await writePicture(forward.path, await strip(frames, { captions, scale: 3 }).png());

  const shown = classes.length > 0 ? classes.slice(0, 10) : undefined;
  const steps = Math.min(STEPS, last + 1);
  report.start(steps, "drawing the reverse process");
  const onStep = (done: number) => report.update(done, {});
  const { noisy, timesteps: kept } = await model.trajectory({
    class: shown,
    count: shown ? 1 : 4,
    steps,
    seed: 1,
    onStep,
  }, GIF_FRAMES);
  report.stop();
  const every = (noisy.length - 1) / (STRIP_FRAMES - 1);
  const chosen = [...new Set(Array.from({ length: STRIP_FRAMES }, (_, i) => Math.round(i * every)))];
  const reverse: Picture = { path: join(out, "reverse.png"), what: "reverse process, noise removed" };
  const rows = strip(chosen.map((i) => noisy[i]), {
    captions: chosen.map((i) => `t=${kept[i]}`),
    scale: 2,
    ...(shown ? { rowLabels: shown } : {}),
  });
  await writePicture(reverse.path, await rows.png());
  const animation: Picture = { path: join(out, "reverse.gif"), what: "the same, animated" };
  const grids = noisy.map((images: Images) => images.grid({ columns: 5, scale: 2 }));
  await writePicture(animation.path, await encodeGif(grids, { delayMs: 100 }));
  return [forward, reverse, animation];
}
