/**
 * Digests of a model's JSON files, stored with its weights: without them, a changed digit in a noise schedule would change
 * every image unnoticed.
 *
 * @module
 */
import { sha256Of } from "../digest.ts";
import { CheckpointError } from "../errors.ts";

/** Key of the digests in the weight file's metadata. */
const JSON_DIGESTS_KEY = "denoise.json.sha256";

type Metadata = Record<string, string>;

/**
 * Weight file metadata with the digests of a model's JSON files.
 *
 * @param files contents by path in the model's directory; files other than JSON are ignored
 */
export async function jsonDigests(files: ReadonlyMap<string, Uint8Array>): Promise<Metadata> {
  const digests: (readonly [string, string | undefined])[] = [];
  for (const [name, bytes] of files) {
    if (name.endsWith(".json")) digests.push([name, await digest(parse(bytes))]);
  }
  return { [JSON_DIGESTS_KEY]: JSON.stringify(Object.fromEntries(digests.sort())) };
}

/** True if a weight file's metadata has digests of the JSON files beside it. */
export function hasJsonDigests(metadata: Metadata): boolean {
  return Object.hasOwn(metadata, JSON_DIGESTS_KEY);
}

/**
 * Verifies a model's JSON files against the digests in its weights' metadata. Formatting and key order are ignored, and so
 * are missing files, which the caller handles.
 *
 * @param metadata the weight file's; nothing is checked if it has no digests, as in files from elsewhere
 * @param files parsed contents by path in the model's directory
 * @param pathOf a file's path, for messages
 * @param source the weight file's path, for messages
 * @returns the metadata without the digests
 * @throws {CheckpointError} naming the file that differs
 */
export async function checkJsonDigests(
  metadata: Metadata,
  files: ReadonlyMap<string, unknown>,
  pathOf: (name: string) => string,
  source: string,
): Promise<Metadata> {
  const { [JSON_DIGESTS_KEY]: saved = "{}", ...rest } = metadata;
  for (const [name, expected] of Object.entries(parseDigests(saved, source))) {
    if (!files.has(name) || await digest(files.get(name)) === expected) continue;
    throw new CheckpointError(
      `${pathOf(name)} is damaged or was changed: its SHA-256 is not the one saved in ${source}`,
    );
  }
  return rest;
}

function parseDigests(text: string, source: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text));
  } catch {
    throw new CheckpointError(`${source}: the digests of JSON files in its metadata are damaged`);
  }
}

function parse(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(bytes));
}

async function digest(value: unknown): Promise<string | undefined> {
  try {
    return await sha256Of(canonical(value));
  } catch (error) {
    if (error instanceof RangeError) return undefined; // nested too deeply for the stack, so not a file that was saved here
    throw error;
  }
}

/** Canonical JSON: no white space, sorted keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item) => {
    if (typeof item !== "object" || item === null || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => a < b ? -1 : 1));
  });
}
