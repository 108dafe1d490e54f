/**
 * The pictures that a training run ends with.
 *
 * @module
 */
import { dirname, join, resolve } from "node:path";
import { type DDPM, forwardProcess, type ImageDataset, type Images, type NoiseSchedule } from "../mod.ts";
import { CheckpointError, ConfigError } from "../lib/errors.ts";
import { encodeGif } from "../lib/image/animation.ts";
import { lossChart } from "../lib/image/chart.ts";
import { strip } from "../lib/image/process.ts";
import { reason, writeDurable } from "../lib/train/durable.ts";
import type { Reporter } from "./progress.ts";

/** A picture on the disk. */
export interface Picture {
  readonly path: string;
  readonly what: string;
}

/**
 * Writes a picture, and the folder for it where that is missing. A crash or a full disk leaves what was there before.
 * @throws {CheckpointError} naming the file, the reason and what to do
 */
export function writePicture(path: string, bytes: Uint8Array): Promise<void> {
  return writeDurable(path, bytes);
}

/**
 * Checks that a file can be written, before work is done for it; leaves no trace.
 *
 * @param flag what named the file, for messages
 * @param directory whether it is a directory that is to be written into
 * @throws {ConfigError} if something else is there
 * @throws {CheckpointError} if the place cannot be written to
 */
export async function checkWritable(flag: string, path: string, directory = false): Promise<void> {
  const [present, isDirectory] = await nearest(resolve(path)).catch((error) => {
    throw new CheckpointError(`cannot write ${path}: ${reason(error)}`);
  });
  if (present === resolve(path) && isDirectory !== directory) {
    const expected = directory ? "a directory, not a file" : "a file, not a directory";
    throw new ConfigError(flag, path, expected);
  }
  if (present !== resolve(path) && !isDirectory) {
    throw new ConfigError(flag, path, `a path below directories; ${present} is a file`);
  }
  const place = isDirectory ? present : dirname(present);
  try {
    await Deno.remove(await Deno.makeTempFile({ dir: place }));
  } catch (error) {
    throw new CheckpointError(`cannot write ${path}: ${reason(error)}`);
  }
}

/** A path, or what is nearest above it and is there; and whether that is a directory. */
async function nearest(path: string): Promise<[string, boolean]> {
  try {
    return [path, (await Deno.stat(path)).isDirectory];
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
    if (!missing) throw error;
    return await nearest(dirname(path));
  }
}

/**
 * Draws pictures of a run. That one fails is a warning: what was trained is on the disk, and a machine without the
 * chart's libraries still has metrics.jsonl.
 */
export async function drawOrWarn(
  report: Reporter,
  what: string,
  draw: () => Promise<Picture[]>,
): Promise<Picture[]> {
  try {
    return await draw();
  } catch (error) {
    warn(report, `${what}: not drawn (${(error as Error).message})`);
    return [];
  }
}

/** Tells people and programs of something that does not stop a run. */
export function warn(report: Reporter, message: string): void {
  report.event({ type: "warning", message });
  report.line(`warning: ${message}`);
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
): Promise<Picture[]> {
  if (history.length === 0) return [];
  const training = history.map(({ epoch, trainLoss }) => ({ x: epoch, y: trainLoss }));
  const validation = history.flatMap(({ epoch, valLoss }) =>
    valLoss === null ? [] : [{ x: epoch, y: valLoss }]
  );
  const series = [{ name: "training", points: training }, { name: "validation (EMA)", points: validation }];
  const path = join(out, "loss.png");
  const chart = await lossChart(series, {
    title: "Loss per epoch",
    xLabel: "epoch",
    yLabel: "mean squared error of the noise",
  });
  await writePicture(path, chart);
  return [{ path, what: "loss curves" }];
}

/** `forward.png`: an image of the data and ever more noise. */
export async function drawForwardProcess(
  out: string,
  schedule: NoiseSchedule,
  data: ImageDataset,
): Promise<Picture[]> {
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
  const path = join(out, "forward.png");
  await writePicture(path, await strip(frames, { captions, scale: 3 }).png());
  return [{ path, what: "forward process, noise added" }];
}

/** The reverse process as a strip and an animation, one row per class. */
export async function drawReverseProcess(out: string, model: DDPM, report: Reporter): Promise<Picture[]> {
  const { schedule, classes } = model;
  const shown = classes.length > 0 ? classes.slice(0, 10) : undefined;
  const steps = Math.min(STEPS, schedule.config.numTrainTimesteps);
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
  return [reverse, animation];
}
