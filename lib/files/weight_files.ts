/**
 * Finding a network's weights among the forms that diffusers writes: one file or several parts, in full or in a variant
 * of less precision. Pickles are refused, since reading one can run code.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { parseJson, readModelFile } from "./checkpoint_files.ts";

const STEM = "diffusion_pytorch_model";
const WEIGHTS = `${STEM}.safetensors`;
const FLAX_WEIGHTS = "diffusion_flax_model.msgpack";
/** Variants in the order of preference; "" is the file without a variant. Others are read where there is no other. */
const VARIANTS = ["", "fp32", "fp16", "bf16"];

/**
 * The files that hold a network's weights.
 *
 * @param directory that of the network's `config.json`
 * @param names of the files in it
 * @returns paths, in order
 * @throws {CheckpointError} naming what is missing, and how to convert what is there and not read
 */
export async function findWeights(directory: string, names: ReadonlySet<string>): Promise<string[]> {
  const present = [...names].map(partOf).filter((part) => part !== undefined);
  const variants = new Set([...VARIANTS, ...present.map(({ variant }) => variant).sort()]);
  for (const variant of variants) {
    const parts = present.filter((part) => part.variant === variant);
    const found = await indexedParts(directory, names, variant) ?? wholeOrParts(directory, parts);
    if (found) return found.map((name) => join(directory, name));
  }
  throw new CheckpointError(adviceFor(directory, names));
}

/** A file name taken apart: `STEM.VARIANT-00001-of-00002.safetensors`. */
interface Part {
  readonly name: string;
  readonly variant: string;
  /** Number of parts that it is one of; undefined for a file that is whole. */
  readonly of?: number;
}

function partOf(name: string): Part | undefined {
  const match = new RegExp(`^${STEM}(?:\\.([\\w-]+?))?(?:-\\d{5}-of-(\\d{5}))?\\.safetensors$`).exec(name);
  if (!match) return undefined;
  const [, variant = "", of] = match;
  return { name, variant, ...(of === undefined ? {} : { of: Number(of) }) };
}

function wholeOrParts(directory: string, parts: readonly Part[]): string[] | undefined {
  if (parts.length === 0) return undefined;
  const whole = parts.find(({ of }) => of === undefined);
  if (whole) return [whole.name];
  const counts = new Set(parts.map(({ of }) => of));
  const [count] = counts;
  if (counts.size > 1 || parts.length !== count) {
    const names = parts.map(({ name }) => name).sort().join(", ");
    throw new CheckpointError(`${directory}: expected all parts of the weights, found only ${names}`);
  }
  return parts.map(({ name }) => name).sort();
}

/** The parts that an index lists, unless there is a file that is whole. */
async function indexedParts(
  directory: string,
  names: ReadonlySet<string>,
  variant: string,
): Promise<string[] | undefined> {
  const infix = variant && `.${variant}`;
  if (names.has(`${STEM}${infix}.safetensors`)) return undefined;
  // Both orders have been written.
  const index = [`${WEIGHTS}.index${infix}.json`, `${WEIGHTS}${infix}.index.json`].find((each) =>
    names.has(each)
  );
  if (index === undefined) return undefined;
  const path = join(directory, index);
  const map = parseJson(await readModelFile(path), path).weight_map;
  const parts = [...new Set(Object.values(Object(map)))].sort();
  if (parts.length === 0) throw new CheckpointError(`${path}: weight_map lists no files`);
  for (const part of parts) {
    if (typeof part !== "string" || !names.has(part)) {
      throw new CheckpointError(
        `${path}: ${JSON.stringify(part)}, which it lists, is missing in ${directory}`,
      );
    }
  }
  return parts as string[];
}

/** What to do about the forms that are not read. */
function adviceFor(directory: string, names: ReadonlySet<string>): string {
  const sorted = [...names].sort();
  const quoted = JSON.stringify(directory);
  const convert = (found: readonly string[], line: string) =>
    `${directory}: expected ${WEIGHTS}, found only ${found.join(", ")}; convert it in Python: ${line}`;

  const ofDiffusers = (name: string) => name.startsWith(STEM) || name === FLAX_WEIGHTS;
  const diffusers = sorted.filter((name) => ofDiffusers(name) && !name.endsWith(".index.json"));
  if (diffusers.length > 0) {
    const variant = /\.([\w-]+?)(?:-\d{5}-of-\d{5})?\.bin$/.exec(diffusers[0].replace(STEM, ""))?.[1];
    const option = variant !== undefined
      ? `, variant="${variant}"`
      : diffusers[0] === FLAX_WEIGHTS
      ? ", from_flax=True"
      : "";
    return convert(
      diffusers,
      `from diffusers import UNet2DModel; UNet2DModel.from_pretrained(${quoted}${option})` +
        `.save_pretrained(${quoted}, safe_serialization=True)`,
    );
  }
  const pickles = sorted.filter((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  if (pickles.length > 0) {
    const [from, to] = [pickles[0], WEIGHTS].map((name) => JSON.stringify(join(directory, name)));
    return convert(
      pickles,
      `import torch; from safetensors.torch import save_file; ` +
        `save_file(torch.load(${from}, weights_only=True, map_location="cpu"), ${to}, {"format": "pt"})`,
    );
  }
  return `${directory}: no model here: expected ${WEIGHTS} beside config.json, here or in a directory unet`;
}
