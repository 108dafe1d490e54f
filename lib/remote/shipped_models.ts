/**
 * The project's own trained models by name: in a clone, in its `checkpoints/`; otherwise in the place that the environment variable
 * `DENOISE_MODELS` names, since the published package is too small for them. Files of that place must have the digests that the
 * package knows.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError, ConfigError } from "../errors.ts";
import { exists, fileProblem } from "../files/durable.ts";
import { fetchModel, type FetchModelOptions } from "./fetch_model.ts";
import { weightsDigest } from "./model_files.ts";
import { isAllowed, isModelUrl } from "./model_url.ts";
import { SHIPPED_FILES } from "./shipped_files.ts";

/** Name of one of the project's own models, or of its classifier. */
export type ShippedName = keyof typeof SHIPPED_FILES;

/** The models that draw, the best first. */
export const SHIPPED_MODELS: readonly ShippedName[] = ["cifar10", "cifar10-tiny"];

/** Environment variable with a directory or a URL, in which each model is a folder. */
export const MODELS_VARIABLE = "DENOISE_MODELS";

/** Where a model is: on this machine, or to be fetched. */
export type ShippedPlace = { readonly directory: string } | { readonly url: string };

/** The clone's own models; undefined in a published package. */
const CHECKPOINTS = ownFolder(new URL("../../checkpoints/", import.meta.url));

/** True for the name of a model that draws, where there is no such path. */
export async function namesShippedModel(text: string): Promise<boolean> {
  return SHIPPED_MODELS.some((name) => name === text) && !await exists(text);
}

/** Path of a model in the clone's `checkpoints/`; undefined if it is not there. */
export async function ownModel(name: ShippedName): Promise<string | undefined> {
  if (CHECKPOINTS === undefined) return undefined;
  const path = join(CHECKPOINTS, name);
  const isThere = await Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false);
  return isThere ? path : undefined;
}

/**
 * Finds a model: in the clone, else where `DENOISE_MODELS` says. Needs permission for that variable, and to read.
 *
 * @param find finds a model of the clone
 * @returns its directory, checked; or a URL, for {@linkcode fetchModel} and then {@linkcode checkShippedModel}
 * @throws {CheckpointError} if it is in neither, or a file of it has another digest
 * @throws {ConfigError} for a URL that is not allowed
 */
export async function findShippedModel(
  name: ShippedName,
  find: typeof ownModel = ownModel,
): Promise<ShippedPlace> {
  const own = await find(name);
  if (own !== undefined) return { directory: own };
  const place = Deno.env.get(MODELS_VARIABLE) ?? "";
  if (place === "") {
    throw new CheckpointError(
      `${name} is a model of the project that the package does not contain; set ${MODELS_VARIABLE} to a directory or URL ` +
        `with the folder ${name}, such as checkpoints/ of a clone`,
    );
  }
  if (isModelUrl(place)) return { url: shippedUrl(name, place) };
  const directory = join(place, name);
  await checkShippedModel(name, directory);
  return { directory };
}

/**
 * Directory of a model, which is fetched first if `DENOISE_MODELS` is a URL and it is not in the cache.
 *
 * @throws {CheckpointError | ConfigError} as {@linkcode findShippedModel} and {@linkcode fetchModel} do
 */
export async function shippedModel(name: ShippedName, options: FetchModelOptions = {}): Promise<string> {
  const place = await findShippedModel(name);
  if ("directory" in place) return place.directory;
  const { path } = await fetchModel(place.url, options);
  await checkShippedModel(name, path);
  return path;
}

/**
 * The directory that a user means: that of the project's own model, for its name, else `path` itself.
 *
 * @throws {CheckpointError | ConfigError} as {@linkcode shippedModel} does
 */
export async function resolveShipped(path: string): Promise<string> {
  return await namesShippedModel(path) ? await shippedModel(path as ShippedName) : path;
}

/**
 * Compares the files of a model with the digests that the package knows.
 *
 * @throws {CheckpointError} naming a file that is missing, or differs
 */
export async function checkShippedModel(name: ShippedName, directory: string): Promise<void> {
  for (const [file, expected] of Object.entries(SHIPPED_FILES[name])) {
    const path = join(directory, file);
    let digest: string;
    try {
      digest = await weightsDigest(directory, [file]);
    } catch (error) {
      throw new CheckpointError(
        `${path}: a file of the project's ${name} cannot be read: ${fileProblem(error)}`,
      );
    }
    if (digest === expected) continue;
    throw new CheckpointError(
      `${path}: is not that of the project's ${name}: it has SHA-256 ${digest}, expected ${expected}`,
    );
  }
}

/** URL of a model below another, with the digest of its weights: of its folder, or of weights that are not a pipeline's. */
function shippedUrl(name: ShippedName, base: string): string {
  const url = URL.parse(base.endsWith("/") ? base : `${base}/`);
  if (!url || !isAllowed(url) || url.search !== "" || url.hash !== "") {
    throw new ConfigError(
      MODELS_VARIABLE,
      base,
      "a directory, or a URL of one that starts with https://, or with http:// on this machine",
    );
  }
  const [weights, digest] = Object.entries(SHIPPED_FILES[name]).find(([file]) =>
    file.endsWith(".safetensors")
  )!; // a test loads each
  const path = weights.includes("/") ? `${name}/` : `${name}/${weights}`;
  return new URL(`${path}#sha256=${digest}`, url).href;
}

function ownFolder(url: URL): string | undefined {
  return url.protocol === "file:" ? fileURLToPath(url) : undefined;
}
