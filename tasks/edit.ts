/**
 * `deno task edit`: draws images from given ones.
 *
 * @module
 */
import type { DDPM, GenerateOptions, GridOptions, Images } from "../mod.ts";
import { decodeImage, type RgbaImage } from "../lib/data/decode/decode.ts";
import { DataError } from "../lib/errors.ts";
import { layOutGrid } from "../lib/image/grid.ts";
import { imageChannels, imageSize } from "../lib/model/config.ts";
import { changeClass } from "../lib/sampling/edits/class_change.ts";
import { interpolateImages, interpolateSeeds } from "../lib/sampling/edits/interpolation.ts";
import { imageForEdit, maskOfPicture } from "../lib/sampling/edits/picture.ts";
import { continueOnBackend } from "../terminal/backend.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { createReporter, reporterMode } from "../terminal/progress.ts";
import { runToExit, type Task } from "../terminal/task.ts";
import { fetchDrawingModels, findDrawingModel, showModel, stepProgress } from "./drawing_model.ts";
import {
  DEFAULT_FRAMES,
  EDIT_FLAG_OF,
  type EditFlags,
  editKind,
  type EditName,
  readEditFlags,
} from "./edit_flags.ts";
import {
  checkGivenKept,
  checkTargets,
  isPictureFile,
  writeAnimation,
  writeImages,
} from "./picture_output.ts";
import { samplerOptions } from "./sampling_flags.ts";

/** Images per edit if the flag does not say. */
const DEFAULT_COUNT = 4;

/** Pictures that the flags name, by file. */
type Pictures = ReadonlyMap<string, RgbaImage>;

/** An edit of a kind. */
type Edit = (
  model: DDPM,
  flags: EditFlags,
  pictures: Pictures,
  options: GenerateOptions,
) => Promise<Images>;

const EDITS: Readonly<Record<EditName, Edit>> = {
  seeds: async (model, { seeds, frames = DEFAULT_FRAMES }, _, options) =>
    await interpolateSeeds(model, { ...options, seeds: seeds!, frames }), // the flag asks for this kind
  images: async (model, { images, frames = DEFAULT_FRAMES, strength }, pictures, options) => {
    const [first, second] = images!; // the flag asks for this kind
    const given = [imageFor(model, pictures.get(first)!), imageFor(model, pictures.get(second)!)] as const;
    return await interpolateImages(model, { ...options, images: given, frames, strength });
  },
  invert: async (model, { image, from, strength }, pictures, { class: to = null, ...options }) =>
    await changeClass(model, {
      ...options,
      image: imageFor(model, pictures.get(image!)!),
      from,
      class: to,
      strength,
    }),
  image: async (model, flags, pictures, options) => {
    const { image, mask, strength, resamplings, jump, count = DEFAULT_COUNT, seed } = flags;
    const picture = pictures.get(image!)!; // the flag asks for this kind
    const edit = {
      ...{ strength, resamplings, jump },
      image: imageFor(model, picture),
      mask: mask === undefined
        ? undefined
        : maskOfPicture(pictures.get(mask)!, picture, sizeOf(model), { file: mask, mark: "white" }),
    };
    return await model.generate({ ...options, edit, count, seed });
  },
};

/** Reads pictures, before the model, so that a wrong file is found at once. */
async function readPictures({ image, mask, images }: EditFlags): Promise<Pictures> {
  const pictures = new Map<string, RgbaImage>();
  for (const file of [image, mask, ...images ?? []]) {
    if (file !== undefined) pictures.set(file, await decodeImage(await readBytes(file), file));
  }
  return pictures;
}

async function readBytes(file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(file);
  } catch (error) {
    throw new DataError(`${file}: cannot be read (${error instanceof Error ? error.message : error})`);
  }
}

function imageFor(model: DDPM, picture: RgbaImage): Float32Array<ArrayBuffer> {
  return imageForEdit(picture, sizeOf(model), imageChannels(model.config));
}

function sizeOf({ config }: DDPM): { width: number; height: number } {
  const [height, width] = imageSize(config);
  return { width, height };
}

/** Number of images that will be drawn. */
function countOf(kind: EditName, { frames = DEFAULT_FRAMES, count = DEFAULT_COUNT }: EditFlags): number {
  return { seeds: frames, images: frames, invert: 1, image: count }[kind];
}

async function main(args: readonly string[]): Promise<number> {
  const flags = readEditFlags(args);
  await fetchDrawingModels(flags);
  const ended = await continueOnBackend("edit", args, flags.backend);
  if (ended !== undefined) return ended;
  const kind = editKind(flags);
  await checkTargets(flags);
  const pictures = await readPictures(flags);
  const count = countOf(kind, flags);
  const nameOf = (i: number) => `edit-${String(i + 1).padStart(String(count).length, "0")}`;
  await checkGivenKept(flags, Array.from({ length: count }, (_, i) => nameOf(i)), [...pictures.keys()]);
  const report = createReporter({ mode: reporterMode(flags) });
  const load = await findDrawingModel(flags);
  const gpu = await openTaskGpu();
  try {
    const model = await load(gpu, report);
    const { scale, batch, out, gif } = flags;
    const interpolated = kind === "seeds" || kind === "images";
    const grid: GridOptions = {
      scale,
      ...(interpolated && count <= DEFAULT_FRAMES ? { columns: count } : {}),
    };
    if (isPictureFile(out)) layOutGrid({ count, ...sizeOf(model) }, grid);
    showModel(model, flags, report);
    const images = await EDITS[kind](model, flags, pictures, {
      ...samplerOptions(flags),
      ...(flags.class === undefined ? {} : { class: flags.class }),
      batch,
      onStep: stepProgress(report, "editing, steps"),
    });
    report.stop();
    await writeImages(images, out, grid, nameOf, report);
    if (gif !== undefined) {
      const frames = Array.from({ length: images.count }, (_, i) => images.at(i).scaled(scale));
      await writeAnimation(frames, gif, report);
    }
    await model.close();
    return 0;
  } finally {
    report.stop();
    gpu.close();
  }
}

/** `deno task edit`. */
export const editTask: Task = { main, flags: EDIT_FLAG_OF };

if (import.meta.main) await runToExit(editTask, Deno.args);
