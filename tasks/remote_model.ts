/**
 * Models that are named by a URL on a task's command line. Only `deno task fetch` may use the network: other tasks read its
 * cache, and start it for a model that is not there.
 *
 * @module
 */
import project from "../deno.json" with { type: "json" };
import { CheckpointError } from "../lib/errors.ts";
import { commandLine } from "../lib/program.ts";
import { cachedModel, MODEL_CACHE } from "../lib/remote/fetch_model.ts";
import { isModelUrl } from "../lib/remote/model_url.ts";
import {
  checkShippedModel,
  findShippedModel,
  namesShippedModel,
  type ShippedName,
} from "../lib/remote/shipped_models.ts";
import { processArguments } from "../terminal/modules.ts";

/**
 * Directory of a model in the cache, which is fetched first if it is not there and this process may start programs.
 *
 * @param url of the model
 * @param variant of its weights
 * @throws {ConfigError} for a URL that is not allowed
 * @throws {CheckpointError} if it cannot be fetched, or this process may not start programs: with the command that fetches it
 */
export async function modelFromUrl(url: string, variant?: string): Promise<string> {
  const cached = await cachedModel(url, { variant });
  if (cached) return cached.path;
  const flags = ["--model", url, ...variant === undefined ? [] : ["--variant", variant]];
  const command = commandLine("fetch", flags);
  if (Deno.permissions.querySync({ name: "run" }).state !== "granted") {
    throw new CheckpointError(`${url} is not in ${MODEL_CACHE}; fetch it first: ${command}`);
  }
  const { success } = await new Deno.Command(Deno.execPath(), { args: fetchArguments(flags) }).spawn().status;
  const fetched = success ? await cachedModel(url, { variant }) : undefined;
  if (!fetched) throw new CheckpointError(`${url} could not be fetched; to try again: ${command}`);
  return fetched.path;
}

/**
 * Directory of one of the project's own models, which is fetched first as {@linkcode modelFromUrl} does if it is at a URL.
 *
 * @throws {ConfigError | CheckpointError} as `findShippedModel` and {@linkcode modelFromUrl} do
 */
export async function shippedDirectory(name: ShippedName): Promise<string> {
  const place = await findShippedModel(name);
  if ("directory" in place) return place.directory;
  const path = await modelFromUrl(place.url);
  await checkShippedModel(name, path);
  return path;
}

/** Fetches a model that is named by a URL, or one of the project's own, while this process may still start programs. */
export async function fetchNamedModel(model: string | undefined, variant?: string): Promise<void> {
  if (model === undefined) return;
  if (isModelUrl(model)) await modelFromUrl(model, variant);
  else if (await namesShippedModel(model)) await shippedDirectory(model as ShippedName);
}

/** Deno's arguments for `deno task fetch`: the permissions of deno.json. */
export function fetchArguments(flags: readonly string[]): string[] {
  const [, , ...options] = project.tasks.fetch.command.split(" ");
  const script = options.pop()!; // `deno run … SCRIPT`
  return processArguments(script, ["--no-prompt", ...options], flags);
}
