/**
 * `deno task sample`: draws images of a class from a trained model.
 *
 * @module
 */
import { join } from "node:path";
import { type ClassChoice, DDPM, type GenerateOptions, type Images } from "../mod.ts";
import { ConfigError } from "../lib/errors.ts";
import { encodeGif } from "../lib/image/animation.ts";
import { integer, number, oneOf, showErrorAndExit, TaskCommand, text } from "./cli.ts";
import { openTaskGpu } from "./gpu.ts";
import { writePicture } from "./pictures.ts";
import { createReporter, type Reporter, reporterMode } from "./progress.ts";
import { newestRun } from "./runs.ts";

interface Flags {
  model?: string;
  class?: string;
  count: number;
  steps?: number;
  sampler: "ddpm" | "ddim";
  eta?: number;
  guidance?: number;
  seed: number;
  scale: number;
  batch: number;
  out: string;
  gif?: string;
  quiet?: true;
}

/** Frames of an animation. */
const GIF_FRAMES = 30;

function readFlags(args: string[]): Flags {
  return new TaskCommand("sample", "Draws images from a trained model.")
    .flag("--model <DIR>", "a run directory, or a diffusers directory", {
      value: text(),
      defaultText: "the newest run under runs/",
    })
    .flag("--class <NAME>", "class name or number; all for a row per class; none for no class", {
      value: text(),
      defaultText: "all, or none where the model knows no classes",
    })
    .flag("--count <N>", "images a class", { value: integer(1, 4096), unit: "images", default: 8 })
    .flag("--steps <N>", "network evaluations an image", {
      value: integer(1, 1000),
      unit: "steps",
      defaultText: "50; with --sampler ddpm all of the model's",
    })
    .flag("--sampler <NAME>", "how noise is removed", { value: oneOf(["ddpm", "ddim"]), default: "ddim" })
    .flag("--eta <F>", "DDIM's noise, 0 none to 1 as much as DDPM", { value: number(0, 1), defaultText: "0" })
    .flag("--guidance <F>", "scale of classifier-free guidance, 1 for none", {
      value: number(0, 100),
      defaultText: "2, or 1 without a class",
    })
    .flag("--seed <N>", "image i has seed N + i", { value: integer(0), default: 0 })
    .flag("--scale <N>", "pixels per pixel in the picture", { value: integer(1, 16), default: 2 })
    .flag("--batch <N>", "images drawn at once; changes memory, not images", {
      value: integer(1, 4096),
      unit: "images",
      default: 64,
    })
    .flag("--out <PATH>", "a PNG file for a grid, or a directory for one PNG an image", {
      value: text(),
      default: "samples.png",
    })
    .flag("--gif <FILE>", "animate the denoising of these images, too", {
      value: text(),
      defaultText: "none",
    })
    .switch("--quiet", "print nothing but errors")
    .read<Flags>(args);
}

/** Classes that the flag asks for. */
function choices(flag: string | undefined, classes: readonly string[]): ClassChoice[] {
  if (flag === undefined) return classes.length > 0 ? [...classes] : [null];
  if (flag.toLowerCase() !== "all") return [flag];
  if (classes.length === 0) {
    throw new ConfigError("--class", flag, "none, since this model was trained without classes");
  }
  return [...classes];
}

async function write(images: Images, flags: Flags, rows: readonly string[], report: Reporter): Promise<void> {
  const { out, scale, count } = flags;
  if (out.toLowerCase().endsWith(".png")) {
    const single = images.count === 1;
    const labels = rows.length > 1 ? { rowLabels: rows } : {};
    const columns = rows.length > 1 ? count : undefined;
    const picture = single ? images.scaled(scale) : images.grid({ columns, scale, ...labels });
    await writePicture(out, await picture.png());
    report.line(`${images.count} image${single ? "" : "s"} in ${out}`);
    return;
  }
  for (let i = 0; i < images.count; i++) {
    const image = images.at(i);
    const { class: name, seed } = image.metadata[0];
    // A model's files may call a class anything, also `../x`.
    const safe = String(name).replace(/[^\p{L}\p{N} _-]/gu, "_");
    await writePicture(join(out, `${safe}-${seed}.png`), await image.scaled(scale).png());
  }
  report.line(`${images.count} images in ${out}`);
}

async function main(args: string[]): Promise<void> {
  const flags = readFlags(args);
  const report = createReporter({ mode: reporterMode(flags) });
  const directory = flags.model ?? await newestRun();
  const gpu = await openTaskGpu();
  try {
    const model = await DDPM.load(directory, {
      gpu,
      onWarning: (message) => report.line(`warning: ${message}`),
    });
    const { count, steps, sampler, eta, guidance, seed, batch } = flags;
    const rows = choices(flags.class, model.classes);
    report.line(`model ${model.path} on ${model.adapter}`);
    const total = rows.length * count;
    let started = false;
    const onStep = (done: number, all: number) => {
      if (!started) report.start(all, total === 1 ? "drawing 1 image" : `drawing ${total} images`);
      started = true;
      report.update(done, {});
    };
    const options: GenerateOptions = {
      class: rows,
      count,
      steps,
      sampler,
      eta,
      guidance,
      seed,
      batch,
      onStep,
    };
    const images = await model.generate(options);
    report.stop();
    const names = rows.map((row) => row === null ? "none" : String(row));
    await write(images, flags, names, report);
    if (flags.gif !== undefined) {
      started = false;
      const { noisy } = await model.trajectory(options, GIF_FRAMES);
      report.stop();
      const columns = rows.length > 1 ? count : undefined;
      await writePicture(
        flags.gif,
        await encodeGif(noisy.map((frame) => frame.grid({ columns, scale: flags.scale })), { delayMs: 100 }),
      );
      report.line(`animation in ${flags.gif}`);
    }
    await model.close();
  } finally {
    report.stop();
    gpu.close();
  }
}

if (import.meta.main) {
  try {
    await main(Deno.args);
    Deno.exit(0);
  } catch (error) {
    showErrorAndExit(error);
  }
}
