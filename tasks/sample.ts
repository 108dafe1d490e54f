/**
 * `deno task sample`: draws images of a class from a trained model.
 *
 * @module
 */
import { join } from "node:path";
import {
  type ClassChoice,
  DDPM,
  type GenerateOptions,
  type GridOptions,
  Images,
  planSampling,
  type SamplerName,
  samplerNames,
  type SigmaInterval,
  type SpacingName,
  spacingNames,
  type Trajectory,
  type UNetConfig,
  variances,
  type VarianceType,
} from "../mod.ts";
import { MAX_TIMESTEPS } from "../lib/diffusion/schedule.ts";
import { ConfigError } from "../lib/errors.ts";
import type { Backend } from "../lib/gpu/backend.ts";
import { encodeGif } from "../lib/image/animation.ts";
import { layOutGrid } from "../lib/image/grid.ts";
import { resolveClass } from "../lib/sampling/class_choice.ts";
import { INTERVAL_WORDS, parseInterval } from "../lib/sampling/guidance_interval.ts";
import { DEFAULT_STEPS, planDraw } from "../lib/sampling/request.ts";
import { shownSteps } from "../lib/sampling/moments.ts";
import { imageSize } from "../lib/model/config.ts";
import { inPrecision, type Precision, PRECISION_HELP } from "../lib/model/precision.ts";
import { shellQuote } from "../lib/shell.ts";
import { TUNE_HELP, type TuneMode, TUNING_DIRECTORY } from "../lib/tuning/tuning.ts";
import { BACKEND_HELP, BACKEND_OPTIONS, continueOnBackend } from "../terminal/backend.ts";
import {
  checked,
  type FlagNames,
  integer,
  number,
  oneOf,
  showErrorAndExit,
  TaskCommand,
  text,
} from "../terminal/cli.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { checkWritable, writePicture } from "../terminal/pictures.ts";
import { PRECISION_OPTIONS } from "../terminal/precision.ts";
import { PROFILE_FLAG, TaskProfile } from "./profile.ts";
import { counted, createReporter, type Reporter, reporterMode } from "../terminal/progress.ts";
import { fetchNamedModel } from "./remote_model.ts";
import {
  GUIDE_HELP,
  MODEL_HELP,
  modelDirectory,
  secondModel,
  SHIPPED,
  VARIANT_DEFAULT,
  VARIANT_HELP,
} from "./runs.ts";
import { showTuning, TUNE_OPTIONS } from "../terminal/tuning.ts";

interface Flags {
  model?: string;
  variant?: string;
  class?: string;
  count?: number;
  steps?: number;
  sampler?: SamplerName;
  spacing?: SpacingName;
  eta?: number;
  variance?: VarianceType;
  churn?: number;
  guidance?: number;
  guidanceRescale?: number;
  guidanceInterval?: SigmaInterval;
  guide?: string;
  negativeClass?: string;
  seed: number;
  scale: number;
  batch: number;
  out: string;
  gif?: string;
  backend?: Backend;
  precision?: Precision;
  tune?: TuneMode;
  profile?: string | true;
  quiet?: true;
}

/** Flags with the default count filled in, which depends on the classes. */
type ResolvedFlags = Flags & { readonly count: number };

/** Frames of an animation. */
const GIF_FRAMES = 30;

function readFlags(args: string[]): Flags {
  return new TaskCommand("sample", "Draws images from a trained model.")
    .flag("--model <PATH>", MODEL_HELP, {
      value: text(),
      defaultText: "the newest run under runs/, else the project's own checkpoints/cifar10",
    })
    .flag("--variant <NAME>", VARIANT_HELP, {
      value: text(),
      defaultText: VARIANT_DEFAULT,
    })
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
    })
    .flag("--steps <N>", "steps of the sampler; heun and edm evaluate the network twice a step", {
      value: integer(1, MAX_TIMESTEPS),
      unit: "steps",
      defaultText: `${DEFAULT_STEPS} evaluations; with --sampler ddpm all of the model's timesteps`,
    })
    .flag("--sampler <NAME>", "sampling method", {
      value: oneOf(samplerNames),
      defaultText: "ddim, or what the model's scheduler configuration names",
    })
    .flag("--spacing <NAME>", "spacing of the noise levels", {
      value: oneOf(spacingNames),
      defaultText: "that of the sampler and the model",
    })
    .flag("--eta <F>", "noise added by DDIM: 0 for none, 1 for as much as DDPM", {
      value: number(0, 1),
      defaultText: "0",
    })
    .flag("--variance <TYPE>", "variance of the noise that DDPM adds", {
      value: oneOf(variances),
      defaultText: "as the model's configuration says",
    })
    .flag("--churn <F>", "noise that the edm sampler adds back over all steps (S_churn)", {
      value: number(0),
      defaultText: "0",
    })
    .flag("--guidance <F>", "scale of classifier-free guidance, 1 for none", {
      value: number(0, 100),
      defaultText: "2; 1 without a class, or for a model not trained for guidance",
    })
    .flag(
      "--guidance-rescale <F>",
      "part of the guided output whose contrast is scaled back to that without guidance; 0.7 suits high scales",
      { value: number(0, 1), defaultText: "0" },
    )
    .flag(
      "--guidance-interval <LOW,HIGH>",
      "noise levels with guidance, as ratios of noise to signal; other steps take one evaluation",
      { value: checked(INTERVAL_WORDS, parseInterval), defaultText: "all, 0,inf" },
    )
    .flag("--guide <PATH>", GUIDE_HELP, { value: text(), defaultText: "none" })
    .flag("--negative-class <NAME>", "class that guidance leads away from, by name or number", {
      value: text(),
      defaultText: "none, no class",
    })
    .flag(
      "--seed <N>",
      "random seed: image i (from 0) has seed N + i; with several classes, image i of the c-th (from 0) has N + c * count + i",
      { value: integer(0), default: 0 },
    )
    .flag("--scale <N>", "magnification: the width of each pixel in the picture", {
      value: integer(1, 16),
      default: 2,
    })
    .flag("--batch <N>", "images drawn at once; affects memory, not the images", {
      value: integer(1, 4096),
      unit: "images",
      default: 64,
    })
    .flag("--out <PATH>", "a file NAME.png for a grid, or a directory for one PNG per image", {
      value: text(),
      default: "samples.png",
    })
    .flag("--gif <FILE>", "also animate the denoising, in a file NAME.gif", {
      value: text(),
      defaultText: "none",
    })
    .flag("--backend <NAME>", BACKEND_HELP, BACKEND_OPTIONS)
    .flag("--precision <TYPE>", PRECISION_HELP, PRECISION_OPTIONS)
    .flag(
      "--tune <WHEN>",
      `${TUNE_HELP}; variants round differently, so images are bit-identical only with the same choices`,
      TUNE_OPTIONS,
    )
    .flag("--profile [FILE]", PROFILE_FLAG, { value: text() })
    .switch("--quiet", "print only errors")
    .read<Flags>(args, (word) => `--class ${shellQuote(word)}`);
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

/** Extensions of unsupported picture formats, which are not taken for directory names. */
const OTHER_PICTURE = /\.(jpe?g|gif|webp|bmp|tiff?|avif|svg)$/i;

/** True if `--out` is a single file. */
function isFile(out: string): boolean {
  return out.toLowerCase().endsWith(".png");
}

/** Checks extensions, and that the files can be written, before the model is loaded. */
async function checkTargets({ out, gif }: Flags): Promise<void> {
  if (OTHER_PICTURE.test(out)) throw new ConfigError("--out", out, "a file NAME.png, or a directory");
  if (gif !== undefined && !gif.toLowerCase().endsWith(".gif")) {
    throw new ConfigError("--gif", gif, "a file NAME.gif");
  }
  await checkWritable("--out", out, !isFile(out));
  if (gif !== undefined) await checkWritable("--gif", gif);
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
    if (isFile(out) || gif !== undefined) layOutGrid(images, gridOptions(flags, rows));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const allowed = "fewer images or a smaller --scale in one picture, or a directory as --out without --gif";
    throw new ConfigError("--count", count, `${allowed} (${error.message})`);
  }
}

async function write(
  images: Images,
  flags: ResolvedFlags,
  rows: readonly string[],
  report: Reporter,
): Promise<void> {
  const { out, scale } = flags;
  if (isFile(out)) {
    const single = images.count === 1;
    const picture = single ? images.scaled(scale) : images.grid(gridOptions(flags, rows));
    await writePicture(out, await picture.png());
    report.line(`${counted(images.count, "image")} in ${out}`);
    return;
  }
  for (let i = 0; i < images.count; i++) {
    const image = images.at(i);
    const { class: name, seed } = image.metadata[0]!; // one per image
    // Class names come from the model's files, and may be anything, such as `../x`.
    const safe = String(name).replace(/[^\p{L}\p{N} _-]/gu, "_");
    await writePicture(join(out, `${safe}-${seed}.png`), await image.scaled(scale).png());
  }
  report.line(`${counted(images.count, "image")} in ${out}`);
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

async function main(args: string[]): Promise<number> {
  const given = readFlags(args);
  await fetchNamedModel(given.model, given.variant);
  await fetchNamedModel(given.guide);
  const ended = await continueOnBackend("sample", given.backend);
  if (ended !== undefined) return ended;
  await checkTargets(given);
  const report = createReporter({ mode: reporterMode(given) });
  const directory = await modelDirectory(given.model, given.variant);
  const guide = await secondModel("--guide", given.guide);
  const gpu = await openTaskGpu();
  try {
    const model = await DDPM.load(directory, {
      gpu,
      guide,
      tune: given.tune,
      variant: given.variant,
      precision: given.precision,
      tuningDirectory: TUNING_DIRECTORY,
      onWarning: (message) => report.line(`warning: ${message}`),
      onTuning: showTuning(report),
    });
    const rows = chooseClasses(given.class, model);
    const flags: ResolvedFlags = { ...given, count: given.count ?? (rows.length > 1 ? 1 : 8) };
    const { count, steps, sampler, spacing, eta, variance, churn, seed, batch } = flags;
    const { guidance, guidanceRescale, guidanceInterval, negativeClass } = flags;
    const names = rows.map((row) => row === null ? "none" : String(row));
    checkPictures(flags, names, model.config);
    const total = rows.length * count;
    const request = {
      ...{ class: rows, count, steps, sampler, spacing, eta, variance, churn, seed, batch },
      ...{ guidance, guidanceRescale, guidanceInterval, negativeClass },
      onStep: progress(report, `drawing ${counted(total, "image")}, steps`),
    };
    const settings = planDraw(request, model);
    planSampling(settings.sampler, model.schedule, settings);
    const choice = given.model === undefined && !SHIPPED.includes(directory)
      ? " (your newest run; the project's own: --model checkpoints/cifar10)"
      : "";
    report.line(`model ${model.path}${choice} on ${model.adapter}${inPrecision(model.precision)}`);
    const profile = await TaskProfile.create(gpu, flags.profile);
    profile.startSampling(Math.min(batch, total), settings.evaluations);
    const { images, frames } = flags.gif === undefined
      ? { images: await model.generate(request), frames: [] }
      : await drawWithFrames(model, request);
    report.stop();
    await profile.finish(report);
    await write(images, flags, names, report);
    if (flags.gif !== undefined) {
      report.line(`encoding an animation of ${counted(frames.length, "frame")}`);
      const grids = frames.map((frame) => frame.grid(gridOptions(flags, names)));
      await writePicture(flags.gif, await encodeGif(grids, { delayMs: 100 }));
      report.line(`animation in ${flags.gif}`);
    }
    await model.close();
    return 0;
  } finally {
    report.stop();
    gpu.close();
  }
}

/** Progress callback that starts the bar at the first step, when the total is known. */
function progress(report: Reporter, label: string): (done: number, total: number) => void {
  let started = false;
  return (done, total) => {
    if (!started) report.start(total, label);
    started = true;
    report.update(done, {});
  };
}

/** Flags by the names of the options they set. */
const FLAG_OF: FlagNames = {
  ...Object.fromEntries(
    [
      "variant",
      "class",
      "count",
      "steps",
      "sampler",
      "spacing",
      "eta",
      "variance",
      "churn",
      "guidance",
      "seed",
      "scale",
      "batch",
      "precision",
    ]
      .map((name) => [name, `--${name}`]),
  ),
  negativeClass: "--negative-class",
  guide: "--guide",
  guidanceRescale: "--guidance-rescale",
  guidanceInterval: "--guidance-interval",
};

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    showErrorAndExit(error, FLAG_OF);
  }
}
