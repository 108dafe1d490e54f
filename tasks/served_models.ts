/**
 * Models that `deno task serve` serves.
 *
 * @module
 */
import type { ModelSettings } from "../server/settings.ts";
import { type NamedPath, nameOfPath } from "../terminal/values.ts";
import { modelDirectory, secondModel } from "./runs.ts";

/** Flags that name models. */
export interface ServedModelFlags {
  /** Undefined: the default model. */
  readonly model?: readonly NamedPath[];
  /** Variant of their weights. */
  readonly variant?: string;
  /** Guide of the first model. */
  readonly guide?: string;
}

/**
 * Finds the models, those that are named by URLs in the cache, where they are fetched to first.
 *
 * @throws {ConfigError | CheckpointError} as for `modelDirectory`
 */
export async function servedModels({ model, variant, guide }: ServedModelFlags): Promise<ModelSettings[]> {
  const sources: ModelSettings[] = [];
  if (model === undefined) {
    const path = await modelDirectory(undefined, variant);
    sources.push({ name: nameOfPath(path), path });
  }
  for (const { name, path } of model ?? []) sources.push({ name, path: await modelDirectory(path, variant) });
  const [first, ...others] = sources;
  const second = await secondModel("--guide", guide);
  return [{ ...first!, ...(second === undefined ? {} : { guide: second }) }, ...others]; // one at least
}
