/**
 * Models from URLs, kept in a cache directory. A model is in the cache whole or not at all; what an interrupted download got
 * is kept beside it, and the next one goes on from there.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { CheckpointError } from "../errors.ts";
import { readModelFile } from "../files/checkpoint_files.ts";
import { encodeJson } from "../files/pipeline_files.ts";
import { parseJson } from "../files/pipeline_files.ts";
import { withDirectoryLock } from "../files/directory_lock.ts";
import {
  exists,
  fileProblem,
  makeDirectory,
  removeDirectoryDurable,
  writeDurable,
} from "../files/durable.ts";
import { describeStandIn } from "../files/stand_in.ts";
import { isWeightFile, weightNames } from "../files/weight_files.ts";
import { commandLine } from "../program.ts";
import { discard, download, finish, holdsParts } from "./download.ts";
import { bytesOf, keepOnly, weightsDigest } from "./model_files.ts";
import { cacheName, isPlainName, type ModelUrl, parseModelUrl } from "./model_url.ts";

/** The tasks' cache of models, relative to the current directory. */
export const MODEL_CACHE: string = join(".cache", "models");

/** A model in the cache. */
export interface CachedModel {
  /** Its directory. */
  readonly path: string;
  /** SHA-256 of the weights in hex: of the file; of several shards, of the lines that `sha256sum` prints for them. */
  readonly sha256: string;
  /** Size of all files, bytes. */
  readonly bytes: number;
}

/** Options of {@linkcode fetchModel}. */
export interface FetchModelOptions {
  /** Variant of the weights, such as `fp16`; by default those without a variant, else the most precise. */
  readonly variant?: string | undefined;
  /** Directory of the cache; default `.cache/models`. */
  readonly cache?: string;
  /** Fetch the model again, even if it is in the cache. */
  readonly reload?: boolean;
  /** Called as bytes of a file arrive. @param total undefined if the server does not say */
  readonly onProgress?: (file: string, received: number, total: number | undefined) => void;
  /** Largest weight file, bytes; default 8 GiB, the largest network in float64. */
  readonly maxBytes?: number;
  /** Milliseconds without a byte until a download fails; default a minute. */
  readonly patience?: number;
}

/** Facts of a cached model, in its directory. */
const FACTS = "fetched.json";
/** Suffix of the directory of an unfinished download. */
const PART = ".part";
/** Largest configuration or index. */
const MAX_JSON_BYTES = 16 * 2 ** 20;
const MAX_WEIGHT_BYTES = 8 * 2 ** 30;

/**
 * Fetches a model, unless it is in the cache: a diffusers pipeline or network directory, or a weight file with `config.json`
 * beside it. Needs permission for the network then.
 *
 * @param url `https://…/`, or `http://` on this machine; with `#sha256=…`, the weights must have that digest
 * @returns the model in the cache, for `DDPM.load`
 * @throws {ConfigError} for a URL that is not allowed
 * @throws {CheckpointError} naming the URL, if there is no model, a download fails, or the digest differs; a later call
 *   continues interrupted downloads
 */
export async function fetchModel(url: string, options: FetchModelOptions = {}): Promise<CachedModel> {
  const { cache = MODEL_CACHE, variant, reload = false } = options;
  const parsed = parseModelUrl(url);
  await makeCache(cache);
  return await withDirectoryLock(cache, async () => {
    const path = join(cache, cacheName(parsed, variant));
    const part = path + PART;
    if (await isComplete(part)) await moveIntoPlace(part, path);
    const known = reload ? undefined : await cachedModel(url, { cache, variant });
    if (known) return known;
    const weights = await downloadModel(parsed, part, options).catch(async (error) => {
      if (!await holdsParts(part)) await Deno.remove(part, { recursive: true }).catch(() => {});
      throw error;
    });
    const sha256 = await weightsDigest(part, weights);
    if (parsed.sha256 !== undefined && sha256 !== parsed.sha256) {
      await Deno.remove(part, { recursive: true });
      throw new CheckpointError(
        `${parsed.url.href}: its weights have SHA-256 ${sha256}, expected ${parsed.sha256}`,
      );
    }
    for (const name of weights) await finish(join(part, name));
    const bytes = await bytesOf(part);
    const given = variant === undefined ? {} : { variant };
    const facts = { url: parsed.url.href, ...given, sha256, bytes, weights };
    await writeDurable(join(part, FACTS), encodeJson(facts, FACTS));
    await moveIntoPlace(part, path);
    return { path, sha256, bytes };
  });
}

/**
 * A model in the cache; undefined if it is not there.
 *
 * @throws {ConfigError} for a URL that is not allowed
 * @throws {CheckpointError} if its weights do not have the URL's digest
 */
export async function cachedModel(
  url: string,
  { cache = MODEL_CACHE, variant }: Pick<FetchModelOptions, "cache" | "variant"> = {},
): Promise<CachedModel | undefined> {
  const parsed = parseModelUrl(url);
  const path = join(cache, cacheName(parsed, variant));
  const facts = join(path, FACTS);
  if (!await Deno.stat(facts).then(() => true, () => false)) return undefined;
  const { sha256: fetched, bytes, weights } = parseJson(await readModelFile(facts), facts);
  // The URL names weights of that digest only: what was fetched once may have been damaged since.
  const sha256 = parsed.sha256 === undefined ? fetched : await weightsDigest(path, namesIn(weights, facts));
  if (parsed.sha256 !== undefined && sha256 !== parsed.sha256) {
    throw new CheckpointError(
      `${parsed.url.href}: its weights in ${path} have SHA-256 ${sha256}, expected ${parsed.sha256}; ` +
        `if they have changed or are damaged, \`${commandLine("fetch", ["--reload"])}\` fetches them again`,
    );
  }
  return { path, sha256: String(sha256), bytes: Number(bytes) };
}

/** Names of the weight files in a model's facts. */
function namesIn(weights: unknown, facts: string): string[] {
  const isList = Array.isArray(weights) && weights.every((name) => typeof name === "string");
  if (isList) return weights;
  throw new CheckpointError(
    `${facts}: does not name the weights; \`${commandLine("fetch", ["--reload"])}\` fetches them again`,
  );
}

/** True if a directory has a whole model, which has its facts last. */
async function isComplete(directory: string): Promise<boolean> {
  return await exists(join(directory, FACTS));
}

/** Moves a whole model into the cache. Killed in between, the next fetch does it: there is always a whole model, old or new. */
async function moveIntoPlace(part: string, path: string): Promise<void> {
  if (await exists(path)) await removeDirectoryDurable(path);
  await Deno.rename(part, path);
}

async function makeCache(cache: string): Promise<void> {
  try {
    await makeDirectory(resolve(cache));
  } catch (error) {
    throw new CheckpointError(`cannot create ${cache}: ${fileProblem(error)}`);
  }
}

/** Downloads a model's files into a directory. @returns names of the weight files */
async function downloadModel(
  { url, file }: ModelUrl,
  directory: string,
  options: FetchModelOptions,
): Promise<string[]> {
  const found = new Set<string>();
  const get = async (name: string, from: URL) => {
    const isThere = await downloadFile(name, from, directory, options);
    if (isThere) found.add(name);
    return isThere;
  };
  const weights = await downloadFiles(
    { url, ...file === undefined ? {} : { file } },
    directory,
    get,
    options,
  );
  // What an earlier download left of files that the model no longer has would be taken for its weights.
  await keepOnly(directory, found);
  return weights;
}

/** Downloads a file by its name in the model. @returns false if the server has none */
type Get = (name: string, from: URL) => Promise<boolean>;

async function downloadFiles(
  { url, file }: ModelUrl,
  directory: string,
  get: Get,
  options: FetchModelOptions,
): Promise<string[]> {
  const below = (path: string) => new URL(path, url);
  if (file !== undefined) {
    if (!await get("config.json", below("config.json"))) {
      throw new CheckpointError(
        `${below("config.json").href}: there is no such file, which says what network the weights are of`,
      );
    }
    await get("scheduler_config.json", below("scheduler_config.json")) ||
      await get("scheduler_config.json", below("../scheduler/scheduler_config.json"));
    await get("model_index.json", below("model_index.json")) ||
      await get("model_index.json", below("../model_index.json"));
    if (!await get(file, url)) throw new CheckpointError(`${url.href}: there is no such file`);
    return [file];
  }
  const isPipeline = await get("unet/config.json", below("unet/config.json"));
  if (!isPipeline && !await get("config.json", below("config.json"))) {
    throw new CheckpointError(`${url.href}: no model there: neither unet/config.json nor config.json`);
  }
  const scheduler = isPipeline ? "scheduler/scheduler_config.json" : "scheduler_config.json";
  for (const name of [scheduler, "model_index.json"]) await get(name, below(name));
  return await downloadWeights(isPipeline ? "unet/" : "", url, get, directory, options.variant);
}

/** Downloads the first weights that are there: a single file, or an index and its shards. */
async function downloadWeights(
  prefix: string,
  url: URL,
  get: Get,
  directory: string,
  variant: string | undefined,
): Promise<string[]> {
  const candidates = weightNames(variant);
  for (const { single, indexes } of candidates) {
    for (const index of indexes) {
      if (!await get(prefix + index, new URL(prefix + index, url))) continue;
      const shards = await shardsOf(join(directory, prefix, index));
      for (const shard of shards) {
        if (!await get(prefix + shard, new URL(prefix + shard, url))) {
          throw new CheckpointError(
            `${url.href}${prefix}${shard}: there is no such file, which ${index} lists`,
          );
        }
      }
      return shards.map((shard) => prefix + shard);
    }
    if (await get(prefix + single, new URL(prefix + single, url))) return [prefix + single];
  }
  const names = candidates.map(({ single }) => single).join(", ");
  throw new CheckpointError(`${url.href}${prefix}: no weights there: none of ${names}, nor an index of one`);
}

async function shardsOf(index: string): Promise<string[]> {
  const { weight_map: map } = parseJson(await readModelFile(index), index);
  const shards = [...new Set(Object.values(Object(map)))].sort();
  const bad = shards.find((shard) =>
    typeof shard !== "string" || !isPlainName(shard) || !isWeightFile(shard)
  );
  if (shards.length === 0 || bad !== undefined) {
    throw new CheckpointError(`${index}: lists ${JSON.stringify(bad)}, expected names of weight files`);
  }
  return shards as string[];
}

/** Downloads a file of a model. @returns false if the server has none */
async function downloadFile(
  name: string,
  from: URL,
  directory: string,
  { onProgress, maxBytes = MAX_WEIGHT_BYTES, patience }: FetchModelOptions,
): Promise<boolean> {
  const path = join(directory, name);
  const isWeights = isWeightFile(name);
  // Configurations are small, and must be those that belong to the weights.
  if (!isWeights) await discard(path);
  const found = await download(from, path, {
    ...{ maxBytes: isWeights ? maxBytes : MAX_JSON_BYTES, ...patience === undefined ? {} : { patience } },
    onBytes: (received, total) => onProgress?.(name, received, total),
  });
  if (found) await checkContent(from, path);
  if (!isWeights) await finish(path);
  return found;
}

/**
 * Refuses an error page or a Git LFS pointer that a server sent in place of a file.
 *
 * @throws {CheckpointError} naming the URL; the file is then removed
 */
async function checkContent(from: URL, path: string): Promise<void> {
  using file = await Deno.open(path);
  const start = new Uint8Array(256);
  const length = await file.read(start) ?? 0;
  const standIn = describeStandIn(start.subarray(0, length));
  if (standIn === undefined) return;
  await discard(path);
  throw new CheckpointError(`${from.href}: ${standIn}`);
}
