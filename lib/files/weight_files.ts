/**
 * Search for a network's weights in the forms that diffusers writes: one file or several shards, in full precision or a
 * variant, as safetensors or a PyTorch checkpoint; or a single file by any name.
 *
 * @module
 */
import { basename, dirname, join, resolve } from "node:path";
import { CheckpointError, ConfigError } from "../errors.ts";
import { readModelFile } from "./checkpoint_files.ts";
import { parseJson, UNET_WEIGHTS } from "./pipeline_files.ts";

const STEM = "diffusion_pytorch_model";
const WEIGHTS = `${STEM}.safetensors`;
const FLAX_WEIGHTS = "diffusion_flax_model.msgpack";
/** Variants in order of preference, before any others; "" is a file without a variant. */
const VARIANTS = ["", "fp32", "fp16", "bf16"];
/** Extensions of diffusers' weights, in order of preference. */
const FORMATS = ["safetensors", "bin"] as const;

type Format = typeof FORMATS[number];

/** Files that are weights by their extension. */
const WEIGHT_FILE = /\.(safetensors|bin|pt|pth|ckpt)$/i;

/** Allowed extensions of weight files, in words. */
export const WEIGHT_EXTENSIONS = ".safetensors, .bin, .pt, .pth or .ckpt";

/** True for the name of a safetensors file or of a PyTorch checkpoint. */
export function isWeightFile(path: string): boolean {
  return WEIGHT_FILE.test(path);
}

/** Files with a network's weights. */
export interface FoundWeights {
  /** Paths, in order. */
  readonly paths: readonly string[];
  /** The choice made, if there were several variants. */
  readonly note?: string;
}

/**
 * Finds the files with a network's weights.
 *
 * @param directory where the network's `config.json` is
 * @param names of the files in it
 * @param wanted the variant; by default the one in full precision, else the best
 * @throws {CheckpointError} naming what is missing, and how to convert unsupported files
 * @throws {ConfigError} for a variant that is not there, with those that are
 */
export async function findWeights(
  directory: string,
  names: ReadonlySet<string>,
  wanted?: string,
): Promise<FoundWeights> {
  const present = [...names].map(shardOf).filter((shard) => shard !== undefined);
  const variants = variantsOf(names, present);
  if (wanted !== undefined && !variants.includes(wanted)) throw unknownVariant(wanted, directory, variants);
  for (const variant of wanted === undefined ? variants : [wanted]) {
    for (const format of FORMATS) {
      const shards = present.filter((shard) => shard.variant === variant && shard.format === format);
      const found = await indexedShards(directory, names, variant, format) ??
        singleOrShards(directory, shards);
      if (!found) continue;
      const paths = found.map((name) => join(directory, name));
      const choice = wanted === undefined && variant !== "" && variants.length > 1;
      return choice ? { paths, note: describeChoice(directory, variant, variants) } : { paths };
    }
  }
  return { paths: [join(directory, singleFile(directory, names))] };
}

/** A model that is named by its weight file. */
export interface WeightFileModel {
  /** Directory of the model: that of the file, or the one above it if that has a folder per component. */
  readonly directory: string;
  /** True if it has. */
  readonly isPipeline: boolean;
}

/**
 * The model of a weight file.
 *
 * @returns undefined for a directory, another file, or a path that does not exist
 */
export function weightFileModel(path: string): WeightFileModel | undefined {
  if (!isWeightFile(path) || !isFile(path)) return undefined;
  const directory = dirname(resolve(path));
  const isPipeline = basename(directory) === dirname(UNET_WEIGHTS);
  return { directory: isPipeline ? dirname(directory) : dirname(path), isPipeline };
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false; // reading it reports the error
  }
}

/** A parsed file name: `STEM.VARIANT-00001-of-00002.FORMAT`. */
interface Shard {
  readonly name: string;
  readonly variant: string;
  readonly format: Format;
  /** Number of shards; undefined for a single file. */
  readonly of?: number;
}

function shardOf(name: string): Shard | undefined {
  const match = new RegExp(
    `^${STEM}(?:\\.([\\w-]+?))?(?:-\\d{5}-of-(\\d{5}))?\\.(${FORMATS.join("|")})$`,
  ).exec(name);
  if (!match) return undefined;
  const [, variant = "", of, format] = match;
  return { name, variant, format: format as Format, ...(of === undefined ? {} : { of: Number(of) }) };
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
  format: Format,
): Promise<string[] | undefined> {
  const infix = variant && `.${variant}`;
  if (names.has(`${STEM}${infix}.${format}`)) return undefined;
  const index = indexNames(variant, format).find((each) => names.has(each));
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

/** Names of an index; versions of diffusers differ in the order. */
function indexNames(variant: string, format: Format): string[] {
  const infix = variant && `.${variant}`;
  return [`${STEM}.${format}.index${infix}.json`, `${STEM}.${format}${infix}.index.json`];
}

/** Names that weights may have. */
export interface WeightNames {
  /** Of a single file. */
  readonly single: string;
  /** Of the index of shards. */
  readonly indexes: readonly string[];
}

/**
 * Names that diffusers gives weights, in order of preference.
 *
 * @param variant default: any of the usual ones
 */
export function weightNames(variant?: string): WeightNames[] {
  return (variant === undefined ? VARIANTS : [variant]).flatMap((variant) =>
    FORMATS.map((format) => ({
      single: `${STEM}${variant && `.${variant}`}.${format}`,
      indexes: indexNames(variant, format),
    }))
  );
}

/** Variants that are there, by the preferred ones first. */
function variantsOf(names: ReadonlySet<string>, shards: readonly Shard[]): string[] {
  const present = new Set(shards.map(({ variant }) => variant));
  const indexes = new RegExp(`^${STEM}\\.(?:${FORMATS.join("|")})(\\.[\\w-]+)?\\.index(\\.[\\w-]+)?\\.json$`);
  for (const name of names) {
    const match = indexes.exec(name);
    if (match) present.add((match[1] ?? match[2] ?? ".").slice(1));
  }
  return [...new Set([...VARIANTS, ...[...present].sort()])].filter((variant) => present.has(variant));
}

function describeChoice(directory: string, variant: string, variants: readonly string[]): string {
  const others = variants.filter((other) => other !== variant);
  return `${directory}: took the weights of variant ${variant}, because there are none without a variant; others: ${
    others.join(", ")
  }`;
}

function unknownVariant(wanted: string, directory: string, variants: readonly string[]): ConfigError {
  const named = variants.filter((variant) => variant !== "");
  const allowed = named.length === 0
    ? `none: ${directory} has weights without variants only`
    : `a variant in ${directory}: ${named.join(", ")}`;
  return new ConfigError("variant", wanted, allowed);
}

/** The only weight file, whatever its name. */
function singleFile(directory: string, names: ReadonlySet<string>): string {
  const files = [...names].filter(isWeightFile).sort();
  const [file] = files;
  if (file === undefined) throw new CheckpointError(missingWeights(directory, names));
  if (files.length > 1) {
    throw new CheckpointError(
      `${directory}: expected ${WEIGHTS}, or one other weight file, found ${
        files.join(", ")
      }; name one of them as the model`,
    );
  }
  return file;
}

/** What makes a directory a model, for messages. */
export const EXPECTED_FILES =
  `a directory with ${WEIGHTS} beside config.json, or with both in a directory unet`;

/** Error message if there are no weights, with how to convert those of Flax. */
function missingWeights(directory: string, names: ReadonlySet<string>): string {
  if (!names.has(FLAX_WEIGHTS)) {
    return `${directory}: no model here; expected ${EXPECTED_FILES}`;
  }
  const quoted = JSON.stringify(directory);
  return `${directory}: expected ${WEIGHTS}, found only ${FLAX_WEIGHTS}; convert it in Python: ` +
    `from diffusers import UNet2DModel; UNet2DModel.from_pretrained(${quoted}, from_flax=True)` +
    `.save_pretrained(${quoted}, safe_serialization=True)`;
}
