/**
 * Search for a network's weights in the forms that diffusers writes: one file or several shards, in full precision or a
 * variant. Pickles are refused, because loading one can run code.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { parseJson, readModelFile } from "./checkpoint_files.ts";

const STEM = "diffusion_pytorch_model";
const WEIGHTS = `${STEM}.safetensors`;
const FLAX_WEIGHTS = "diffusion_flax_model.msgpack";
/** Variants in order of preference, before any others; "" is a file without a variant. */
const VARIANTS = ["", "fp32", "fp16", "bf16"];

/**
 * Finds the files with a network's weights.
 *
 * @param directory where the network's `config.json` is
 * @param names of the files in it
 * @returns paths, in order
 * @throws {CheckpointError} naming what is missing, and how to convert unsupported files
 */
export async function findWeights(directory: string, names: ReadonlySet<string>): Promise<string[]> {
  const present = [...names].map(shardOf).filter((shard) => shard !== undefined);
  const variants = new Set([...VARIANTS, ...present.map(({ variant }) => variant).sort()]);
  for (const variant of variants) {
    const shards = present.filter((shard) => shard.variant === variant);
    const found = await indexedShards(directory, names, variant) ?? singleOrShards(directory, shards);
    if (found) return found.map((name) => join(directory, name));
  }
  throw new CheckpointError(conversionAdvice(directory, names));
}

/** A parsed file name: `STEM.VARIANT-00001-of-00002.safetensors`. */
interface Shard {
  readonly name: string;
  readonly variant: string;
  /** Number of shards; undefined for a single file. */
  readonly of?: number;
}

function shardOf(name: string): Shard | undefined {
  const match = new RegExp(`^${STEM}(?:\\.([\\w-]+?))?(?:-\\d{5}-of-(\\d{5}))?\\.safetensors$`).exec(name);
  if (!match) return undefined;
  const [, variant = "", of] = match;
  return { name, variant, ...(of === undefined ? {} : { of: Number(of) }) };
}

function singleOrShards(directory: string, shards: readonly Shard[]): string[] | undefined {
  if (shards.length === 0) return undefined;
  const single = shards.find(({ of }) => of === undefined);
  if (single) return [single.name];
  const counts = new Set(shards.map(({ of }) => of));
  const [count] = counts;
  if (counts.size > 1 || shards.length !== count) {
    const names = shards.map(({ name }) => name).sort().join(", ");
    throw new CheckpointError(`${directory}: expected all shards of the weights, found only ${names}`);
  }
  return shards.map(({ name }) => name).sort();
}

/** Shards listed by an index file; undefined if there is none, or a single file with all weights. */
async function indexedShards(
  directory: string,
  names: ReadonlySet<string>,
  variant: string,
): Promise<string[] | undefined> {
  const infix = variant && `.${variant}`;
  if (names.has(`${STEM}${infix}.safetensors`)) return undefined;
  // Versions of diffusers differ in the order.
  const index = [`${WEIGHTS}.index${infix}.json`, `${WEIGHTS}${infix}.index.json`].find((each) =>
    names.has(each)
  );
  if (index === undefined) return undefined;
  const path = join(directory, index);
  const map = parseJson(await readModelFile(path), path).weight_map;
  const shards = [...new Set(Object.values(Object(map)))].sort();
  if (shards.length === 0) throw new CheckpointError(`${path}: weight_map lists no files`);
  for (const shard of shards) {
    if (typeof shard !== "string" || !names.has(shard)) {
      throw new CheckpointError(
        `${path}: lists ${JSON.stringify(shard)}, which is missing in ${directory}`,
      );
    }
  }
  return shards as string[];
}

/** Error message for unsupported weight files, with how to convert them. */
function conversionAdvice(directory: string, names: ReadonlySet<string>): string {
  const sorted = [...names].sort();
  const quoted = JSON.stringify(directory);
  const convert = (found: readonly string[], line: string) =>
    `${directory}: expected ${WEIGHTS}, found only ${found.join(", ")}; convert it in Python: ${line}`;

  const ofDiffusers = (name: string) => name.startsWith(STEM) || name === FLAX_WEIGHTS;
  const diffusers = sorted.filter((name) => ofDiffusers(name) && !name.endsWith(".index.json"));
  const [weights] = diffusers;
  if (weights !== undefined) {
    const variant = /\.([\w-]+?)(?:-\d{5}-of-\d{5})?\.bin$/.exec(weights.replace(STEM, ""))?.[1];
    const option = variant !== undefined
      ? `, variant="${variant}"`
      : weights === FLAX_WEIGHTS
      ? ", from_flax=True"
      : "";
    return convert(
      diffusers,
      `from diffusers import UNet2DModel; UNet2DModel.from_pretrained(${quoted}${option})` +
        `.save_pretrained(${quoted}, safe_serialization=True)`,
    );
  }
  const pickles = sorted.filter((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  const [pickle] = pickles;
  if (pickle !== undefined) {
    const [from, to] = [JSON.stringify(join(directory, pickle)), JSON.stringify(join(directory, WEIGHTS))];
    return convert(
      pickles,
      `import torch; from safetensors.torch import save_file; ` +
        `save_file(torch.load(${from}, weights_only=True, map_location="cpu"), ${to}, {"format": "pt"})`,
    );
  }
  return `${directory}: no model here: expected ${WEIGHTS} beside config.json, here or in a directory unet`;
}
