/**
 * `deno task sample`: draws images of a class from a trained model.
 *
 * @module
 */
import {
  type ClassChoice,
  type DDPM,
  type GenerateOptions,
  type GridOptions,
  Images,
  planSampling,
  type Trajectory,
  type UNetConfig,
} from "../mod.ts";
import { ConfigError } from "../lib/errors.ts";
import { layOutGrid } from "../lib/image/grid.ts";
import { resolveClass } from "../lib/sampling/class_choice.ts";
import { planDraw } from "../lib/sampling/request.ts";
import { shownSteps } from "../lib/sampling/moments.ts";
import { imageSize } from "../lib/model/config.ts";
import { shellQuote } from "../lib/shell.ts";
import { continueOnBackend } from "../terminal/backend.ts";
import { type FlagNames, TaskCommand } from "../terminal/cli.ts";
import { integer, path, text } from "../terminal/values.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { fetchDrawingModels, findDrawingModel, showModel, stepProgress } from "./drawing_model.ts";
import {
  addPictureFlags,
  checkTargets,
  isPictureFile,
  type PictureFlags,
  writeAnimation,
  writeImages,
} from "./picture_output.ts";
import { PROFILE_FLAG, TaskProfile } from "./profile.ts";
import { counted } from "../lib/counted.ts";
import { createReporter, reporterMode } from "../terminal/progress.ts";
import { runToExit, type Task } from "../terminal/task.ts";
import {
  addDeviceFlags,
  addModelFlags,
  addSamplerFlags,
  type DeviceFlags,
  type ModelFlags,
  type SamplerFlags,
  samplerOptions,
  SAMPLING_FLAG_OF,
} from "./sampling_flags.ts";

interface Flags extends ModelFlags, SamplerFlags, DeviceFlags, PictureFlags {
  class?: string;
  count?: number;
  seed: number;
  profile?: string | true;
  quiet?: true;
}

/** Flags with the default count filled in, which depends on the classes. */
type ResolvedFlags = Flags & { readonly count: number };

/** Frames of an animation. */
const GIF_FRAMES = 30;

/** The command line of `deno task sample`. */
export function sampleCommand(): TaskCommand {
  const command = new TaskCommand("sample", "Draws images from a trained model.");
  addModelFlags(command)
    .flag(
      "--class <NAME>",
      "class name or number; all: a row per class; any: a class chosen by the seed; none: without a class; " +
        "cat:0.6,dog:0.4: a mixture with these weights",
      {
        value: text(),
        defaultText: "all; none for an unconditional model",
      },
    )
    .flag("--count <N>", "images per class", {
      value: integer(1, 4096),
      unit: "images",
      defaultText: "8 for one class, 1 each for several",
    });
  addSamplerFlags(command)
    .flag(
      "--seed <N>",
      "random seed: image i (from 0) has seed N + i; with several classes, image i of the c-th (from 0) has N + c * count + i",
      { value: integer(0), default: 0 },
    );
  addPictureFlags(command, "samples.png", "the denoising");
  return addDeviceFlags(command)
    .flag("--profile [FILE]", PROFILE_FLAG, { value: path() })
    .switch("--quiet", "print only errors")
    .settingsFile({ name: "sample" });
}

function readFlags(args: readonly string[]): Flags {
  return sampleCommand().read<Flags>(args, (word) => `--class ${shellQuote(word)}`);
}

/**
 * Classes chosen by the flag.
 * @throws {ConfigError} for an unknown class
 */
function chooseClasses(flag: string | undefined, model: DDPM): ClassChoice[] {
  const { classes } = model;
  if (flag === undefined) return classes.length > 0 ? [...classes] : [null];
  if (flag.toLowerCase() === "all" && classes.length > 0) return [...classes];
  resolveClass(flag, model, classes.length > 0 ? ["all"] : []);
  return [flag];
}

/** Layout of the grid: a row per class, or as square as possible. */
function gridOptions(
  { count, scale }: Pick<ResolvedFlags, "count" | "scale">,
  rows: readonly string[],
): GridOptions {
  return rows.length > 1 ? { columns: count, scale, rowLabels: rows } : { scale };
}

/** Checks the size of the pictures before anything is drawn. */
function checkPictures(flags: ResolvedFlags, rows: readonly string[], config: UNetConfig): void {
  const { out, gif, count } = flags;
  const [height, width] = imageSize(config);
  const images = { count: rows.length * count, height, width };
  try {
    if (isPictureFile(out) || gif !== undefined) layOutGrid(images, gridOptions(flags, rows));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const allowed = "fewer images or a smaller --scale in one picture, or a directory as --out without --gif";
    throw new ConfigError("--count", count, `${allowed} (${error.message})`);
  }
}

/** Request for images: image `i` of all has seed `seed + i`, whatever else is in its batch. */
type Request = GenerateOptions & { readonly class: readonly ClassChoice[]; readonly count: number };

/** Draws images with the frames of their animation, `batch` at a time. */
async function drawWithFrames(
  model: DDPM,
  request: Request & { readonly batch: number },
): Promise<{ images: Images; frames: Images[] }> {
  const { batch } = request;
  const moments = shownSteps(planDraw(request, model).evaluations, { count: GIF_FRAMES, spacing: "late" });
  const { class: rows, count, seed = 0, onStep } = request;
  const each = rows.flatMap((row) => Array.from({ length: count }, () => row));
  const batches = Math.ceil(each.length / batch);
  const parts: Trajectory[] = [];
  for (let first = 0; first < each.length; first += batch) {
    const part: GenerateOptions = {
      ...request,
      class: each.slice(first, first + batch),
      count: 1,
      seed: seed + first,
      onStep: (done, total) => onStep?.(parts.length * total + done, batches * total),
    };
    parts.push(await model.trajectory(part, moments));
  }
  return {
    images: Images.concat(parts.map(({ images }) => images)),
    frames: moments.map((_, frame) => Images.concat(parts.map(({ noisy }) => noisy[frame]!))), // one per moment,
  };
}

async function main(args: readonly string[]): Promise<number> {
  const given = readFlags(args);
  await fetchDrawingModels(given);
  const ended = await continueOnBackend("sample", args, given.backend);
  if (ended !== undefined) return ended;
  await checkTargets(given);
  const report = createReporter({ mode: reporterMode(given) });
  const load = await findDrawingModel(given);
  const gpu = await openTaskGpu();
  try {
    const model = await load(gpu, report);
    const rows = chooseClasses(given.class, model);
    const flags: ResolvedFlags = { ...given, count: given.count ?? (rows.length > 1 ? 1 : 8) };
    const { count, seed, batch } = flags;
    const names = rows.map((row) => row === null ? "none" : String(row));
    checkPictures(flags, names, model.config);
    const total = rows.length * count;
    const request = {
      ...samplerOptions(flags),
      ...{ class: rows, count, seed, batch },
      onStep: stepProgress(report, `drawing ${counted(total, "image")}, steps`),
    };
    const settings = planDraw(request, model);
    planSampling(settings.sampler, model.schedule, settings);
    showModel(model, given, report);
    const profile = await TaskProfile.create(gpu, flags.profile);
    profile.startSampling(Math.min(batch, total), settings.evaluations);
    const { images, frames } = flags.gif === undefined
      ? { images: await model.generate(request), frames: [] }
      : await drawWithFrames(model, request);
    report.stop();
    await profile.finish(report);
    const nameOf = (i: number) => {
      const { class: name, seed } = images.metadata[i]!; // one for each image
      return `${name}-${seed}`;
    };
    await writeImages(images, flags.out, gridOptions(flags, names), nameOf, report);
    if (flags.gif !== undefined) {
      const grids = frames.map((frame) => frame.grid(gridOptions(flags, names)));
      await writeAnimation(grids, flags.gif, report);
    }
    await model.close();
    return 0;
  } finally {
    report.stop();
    gpu.close();
  }
}

/** Flags by the names of the options they set. */
const FLAG_OF: FlagNames = {
  ...SAMPLING_FLAG_OF,
  ...Object.fromEntries(["class", "count", "seed", "scale", "batch"].map((name) => [name, `--${name}`])),
};

/** `deno task sample`. */
export const sampleTask: Task = { main, flags: FLAG_OF };

if (import.meta.main) await runToExit(sampleTask, Deno.args);
