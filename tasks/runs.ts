/**
 * Default locations of runs and models.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../lib/errors.ts";
import { listCheckpoints } from "../lib/files/checkpoint.ts";
import { isWeightFile, WEIGHT_EXTENSIONS } from "../lib/files/weight_files.ts";
import { fileProblem } from "../lib/files/durable.ts";
import { commandLine } from "../lib/program.ts";
import { isModelUrl } from "../lib/remote/model_url.ts";
import {
  MODELS_VARIABLE,
  namesShippedModel,
  ownModel,
  SHIPPED_MODELS,
  type ShippedName,
} from "../lib/remote/shipped_models.ts";
import { path, pathInFolder, type Value } from "../terminal/values.ts";
import { fetchNamedModel, modelFromUrl, shippedDirectory } from "./remote_model.ts";

/** Folder of the runs, relative to the current directory. */
export const RUNS = "runs";

/**
 * Creates a new run directory: `runs/2026-11-22-1`, `-2`, … Safe against other processes that do so at the same time.
 * @throws {CheckpointError} if it cannot be created
 */
export async function makeRunDirectory(today: Date = new Date()): Promise<string> {
  const day = today.toISOString().slice(0, 10);
  let path = RUNS;
  try {
    await Deno.mkdir(RUNS, { recursive: true });
    for (let n = 1;; n++) {
      path = join(RUNS, `${day}-${n}`);
      if (await createDirectory(path)) return path;
    }
  } catch (error) {
    throw new CheckpointError(`cannot create ${path}: ${fileProblem(error)}`);
  }
}

/** Creates a directory; false if the path already exists. */
async function createDirectory(path: string): Promise<boolean> {
  try {
    await Deno.mkdir(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/** Removes a run's directory if it is empty, and the folder of runs if that is empty then. */
export async function discardEmptyRun(path: string): Promise<void> {
  for (const directory of [path, RUNS]) {
    try {
      await Deno.remove(directory);
    } catch {
      return; // not empty
    }
  }
}

/** Run with the most recent checkpoint, if any. */
export async function newestRun(): Promise<string | undefined> {
  let newest: { path: string; time: number } | undefined;
  for (const name of await directories(RUNS)) {
    const path = join(RUNS, name);
    const [checkpoint] = await listCheckpoints(path);
    if (!checkpoint) continue;
    const time = (await Deno.stat(checkpoint.path)).mtime?.getTime() ?? 0;
    if (!newest || time > newest.time) newest = { path, time };
  }
  return newest?.path;
}

/**
 * The run to resume by default: the newest.
 *
 * @throws {CheckpointError} if there is none
 */
export async function runToResume(): Promise<string> {
  const run = await newestRun();
  if (run) return run;
  throw new CheckpointError(
    `--resume: no run with a checkpoint in ${RUNS}/; train one with \`${
      commandLine("train")
    }\`, or name one: --resume DIR`,
  );
}

/**
 * The model to use by default: the newest run's, else the best of the project's own.
 *
 * @param own finds a model of the clone
 * @throws {CheckpointError} if there is none, with how to get one
 */
export async function findModel(own: typeof ownModel = ownModel): Promise<string> {
  const run = await newestRun();
  if (run) return run;
  const shipped = await defaultShipped(own);
  if (shipped !== undefined) return await own(shipped) ?? await shippedDirectory(shipped);
  throw new CheckpointError(
    `no model: there is none in ${RUNS}/; train one with \`${
      commandLine("train")
    }\`, or choose one with --model DIR`,
  );
}

/**
 * The best of the project's own models that are there: a bundle may leave out the first. Without a clone, the first if
 * `DENOISE_MODELS` says where they are.
 */
async function defaultShipped(own: typeof ownModel): Promise<ShippedName | undefined> {
  for (const name of SHIPPED_MODELS) if (await own(name) !== undefined) return name;
  return (Deno.env.get(MODELS_VARIABLE) ?? "") === "" ? undefined : SHIPPED_MODELS[0];
}

/** Fetches the model that is used by default, if it is one of the project's own at a URL. */
export async function fetchDefaultModel(): Promise<void> {
  if (await newestRun() === undefined) await fetchNamedModel(await defaultShipped(ownModel));
}

/** Help text of the flag `--model`. */
export const MODEL_HELP: string =
  `a run directory, a diffusers directory, a file of weights with config.json beside it, or a URL of the latter two; ${
    SHIPPED_MODELS.join(" and ")
  } are the project's own`;

/** Path or URL of a model, or the name of one of the project's own, which stays a name in a settings file. */
export function modelPath(): Value<string> {
  return path(modelInFolder);
}

/** As {@linkcode pathInFolder}, but a name of the project's own models stays one, where there is no such path. */
export function modelInFolder(text: string, folder: string): string {
  const joined = pathInFolder(text, folder);
  return SHIPPED_MODELS.some((name) => name === text) && !existsSync(joined) ? text : joined;
}

/** Default of the flag `--model`, in words. */
export const MODEL_DEFAULT = `the newest run under ${RUNS}/, else ${SHIPPED_MODELS[0]}`;

/** Help text and default of the flag `--variant`. */
export const VARIANT_HELP = "weights to take if there are several, such as fp16 or non_ema";
export const VARIANT_DEFAULT = "the one in full precision, else the most precise";

/** Help text of the flag `--guide`. */
export const GUIDE_HELP =
  "a second, weaker model that guidance leads away from (autoguidance), with the same schedule, size and classes, named like `--model`";

/**
 * The model given on the command line, or the default of {@linkcode findModel}.
 *
 * @returns its directory or weight file; of a URL, that in the cache
 * @throws {ConfigError} for another file, or a URL that is not allowed
 * @throws {CheckpointError} if a URL's model is neither in the cache nor can be fetched
 */
export async function modelDirectory(named: string | undefined, variant?: string): Promise<string> {
  return named === undefined ? await findModel() : await namedModel("--model", named, variant);
}

/**
 * A second model given on the command line, if any.
 *
 * @param flag that names it
 * @returns as for {@linkcode modelDirectory}
 * @throws {ConfigError | CheckpointError} as for {@linkcode modelDirectory}
 */
export async function secondModel(flag: string, named: string | undefined): Promise<string | undefined> {
  return named === undefined ? undefined : await namedModel(flag, named);
}

async function namedModel(flag: string, named: string, variant?: string): Promise<string> {
  if (isModelUrl(named)) return await modelFromUrl(named, variant);
  if (await namesShippedModel(named)) return await shippedDirectory(named as ShippedName);
  const isFile = await Deno.stat(named).then(({ isFile }) => isFile, () => false);
  if (isFile && !isWeightFile(named)) {
    throw new ConfigError(flag, named, `a directory, or a file of weights (${WEIGHT_EXTENSIONS})`);
  }
  return named;
}

async function directories(path: string): Promise<string[]> {
  try {
    const names: string[] = [];
    for await (const entry of Deno.readDir(path)) if (entry.isDirectory) names.push(entry.name);
    return names.sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
