/**
 * Training step of a model loaded from a run. The run may go on meanwhile: a checkpoint is written
 * first, and then takes the place of the run's model, so the newest checkpoint need not be what was read.
 *
 * @module
 */
import { join } from "node:path";
import { listCheckpoints } from "../../lib/files/checkpoint_files.ts";
import { UNET_WEIGHTS } from "../../lib/files/pipeline_files.ts";

/** Maximum attempts to load the model without it being replaced meanwhile. */
const ATTEMPTS = 3;

/** A loaded model. */
interface Model {
  /** Directory it was read from. */
  readonly path: string;
  close(): Promise<void>;
}

/**
 * Loads a model and finds its checkpoint.
 *
 * @param directory read by `load`, which may fall back to a checkpoint in it
 * @returns no step if the directory is not a run, or the model was replaced during every attempt
 */
export async function loadWithStep<T extends Model>(
  directory: string,
  load: () => Promise<T>,
): Promise<{ readonly model: T; readonly step: number | undefined }> {
  for (let attempt = 1;; attempt++) {
    const before = await fingerprint(directory);
    const model = await load();
    const unchanged = model.path !== directory || before === await fingerprint(directory);
    if (!unchanged && attempt < ATTEMPTS) {
      await model.close();
      continue;
    }
    return { model, step: unchanged ? await stepOf(model.path, directory, before) : undefined };
  }
}

async function stepOf(
  path: string,
  directory: string,
  print: string | undefined,
): Promise<number | undefined> {
  for (const checkpoint of await listCheckpoints(directory)) {
    if (checkpoint.path === path) return checkpoint.step;
    if (print !== undefined && await fingerprint(checkpoint.path) === print) return checkpoint.step;
  }
  return undefined;
}

/**
 * Header of a run's weights, which holds a SHA-256 of each tensor; undefined if there is none.
 */
async function fingerprint(directory: string): Promise<string | undefined> {
  try {
    using file = await Deno.open(join(directory, UNET_WEIGHTS));
    const length = await read(file, 8);
    const header = await read(file, Number(new DataView(length.buffer).getBigUint64(0, true)));
    return new TextDecoder().decode(header);
  } catch {
    return undefined; // loading reports the error
  }
}

/** Maximum header size in bytes; a larger one means a damaged file. */
const LONGEST_HEADER = 2 ** 26;

async function read(file: Deno.FsFile, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
  if (bytes > LONGEST_HEADER) throw new RangeError("the header is too long");
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes;) {
    const count = await file.read(data.subarray(at));
    if (count === null) throw new RangeError("the file is cut short");
    at += count;
  }
  return data;
}
