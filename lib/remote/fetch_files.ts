/**
 * A model's files from a web server, in a browser.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import {
  MODEL_INDEX,
  type ModelFiles,
  SCHEDULER_CONFIG,
  UNET_CONFIG,
  UNET_WEIGHTS,
} from "../files/pipeline_files.ts";

/** Progress of {@linkcode fetchModelFiles}. */
export interface FetchProgress {
  /** File that is being fetched, by its path in the model's directory. */
  readonly file: string;
  /** Bytes of it that have arrived. */
  readonly bytes: number;
  /** Its length; undefined if the server does not tell, or sends it compressed. */
  readonly total: number | undefined;
}

/** Options of {@linkcode fetchModelFiles}. */
export interface FetchFilesOptions {
  /** Called for each piece that arrives. */
  readonly onProgress?: (progress: FetchProgress) => void;
  /** Ends the download. */
  readonly signal?: AbortSignal;
}

/** Files that a model can do without. */
const OPTIONAL: readonly string[] = [SCHEDULER_CONFIG, MODEL_INDEX];

/**
 * Fetches a model: a diffusers pipeline directory with safetensors, as {@linkcode DDPM.load} reads and runs write it, on any
 * static host.
 *
 * @param address of the directory, absolute or relative to the page
 * @throws {CheckpointError} naming the file that is missing or cannot be fetched
 * @throws {DOMException} `AbortError`, once `signal` is aborted
 */
export async function fetchModelFiles(
  address: string | URL,
  { onProgress = () => {}, signal }: FetchFilesOptions = {},
): Promise<ModelFiles> {
  const page = globalThis.location?.href;
  const base = new URL(address, page);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  // The weights last: if anything else is missing, they need not be fetched.
  for (const name of [UNET_CONFIG, ...OPTIONAL, UNET_WEIGHTS]) {
    const bytes = await fetchFile(new URL(name, base), (bytes, total) => {
      onProgress({ file: name, bytes, total });
    }, signal);
    if (bytes) files.set(name, bytes);
    else if (!OPTIONAL.includes(name)) throw new CheckpointError(`${new URL(name, base)} is missing`);
  }
  return { path: base.href, files };
}

/** The contents of a file; undefined if there is none. */
async function fetchFile(
  url: URL,
  onProgress: (bytes: number, total: number | undefined) => void,
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  let response: Response;
  try {
    response = await fetch(url, { signal });
    if (isAbsent(response)) {
      await response.body?.cancel();
      return undefined;
    }
    if (!response.ok) {
      await response.body?.cancel();
      throw new CheckpointError(
        `${url}: the server answered ${response.status} ${response.statusText}`.trim(),
      );
    }
    return await readBody(response, onProgress);
  } catch (error) {
    if (error instanceof CheckpointError || signal?.aborted) throw error;
    throw new CheckpointError(`${url} cannot be fetched: ${(error as Error).message}`);
  }
}

/**
 * True for an answer in place of a file that is not there: 404; 403, as of object stores that do not let strangers list; or a page,
 * as of hosts that answer every path with one.
 */
function isAbsent({ status, headers }: Response): boolean {
  return status === 404 || status === 403 || /^text\/html\b/.test(headers.get("content-type") ?? "");
}

async function readBody(
  response: Response,
  onProgress: (bytes: number, total: number | undefined) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const length = Number(response.headers.get("content-length"));
  // The length of a compressed answer is not that of its content.
  const total = length > 0 && !response.headers.has("content-encoding") ? length : undefined;
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  // A reader, because not every browser's streams can be iterated.
  const reader = response.body?.getReader();
  for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
    pieces.push(read.value);
    bytes += read.value.length;
    onProgress(bytes, total);
  }
  const whole = new Uint8Array(bytes);
  let position = 0;
  for (const piece of pieces) {
    whole.set(piece, position);
    position += piece.length;
  }
  return whole;
}
