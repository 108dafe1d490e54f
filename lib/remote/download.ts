/**
 * Downloads of files that resume where an earlier one was interrupted.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { CheckpointError } from "../errors.ts";
import { makeDirectory, writeError } from "../files/durable.ts";
import { isAllowed } from "./model_url.ts";

/** Options of {@linkcode download}. */
export interface DownloadOptions {
  /** Largest file, bytes. */
  readonly maxBytes: number;
  /** Called as bytes arrive. @param total undefined if the server does not say */
  readonly onBytes?: (received: number, total: number | undefined) => void;
  /** Milliseconds without a byte until the download fails; default a minute. */
  readonly patience?: number;
}

/** Redirections to follow. */
const MAX_REDIRECTIONS = 5;
/** Suffix of the file that says what a partial file is a part of. */
const STATE = ".state";

/**
 * Downloads a file. An interrupted download leaves its part at `path`, and `path` + `.state`, from which the next call goes on
 * if the server still has the same file. Delete both to start anew.
 *
 * @returns false if the server has no such file
 * @throws {CheckpointError} naming the URL and what went wrong
 */
export async function download(url: URL, path: string, options: DownloadOptions): Promise<boolean> {
  const fail = (what: string): never => {
    throw new CheckpointError(`${url.href}: ${what}`);
  };
  const part = await readPart(path);
  const range = part && { "Range": `bytes=${part.bytes}-`, "If-Range": part.validator };
  using patience = new Patience(options.patience ?? 60_000);
  const response = await request(url, { "Accept-Encoding": "identity", ...range }, patience.signal);
  if (response.status === 404 || response.status === 410) {
    await response.body?.cancel();
    await discard(path);
    return false;
  }
  if (response.status === 416 && part) {
    await response.body?.cancel();
    if (totalOf(response) === part.bytes) return true; // it was complete
    await discard(path);
    return await download(url, path, options);
  }
  const resumed = response.status === 206 && part !== undefined && startOf(response) === part.bytes;
  if (!resumed && response.status !== 200) {
    await response.body?.cancel();
    fail(`the server answered ${response.status}${response.statusText && ` ${response.statusText}`}`);
  }
  const received = resumed ? part.bytes : 0;
  const total = resumed ? totalOf(response) : lengthOf(response);
  const tooLarge = () => fail(`larger than ${options.maxBytes} bytes, the most that is fetched`);
  if ((total ?? 0) > options.maxBytes) {
    await response.body?.cancel();
    await discard(path);
    tooLarge();
  }
  let count = received;
  const validator = strongValidator(response);
  try {
    await makeDirectory(dirname(resolve(path)));
    // Killed in between, the part of another file must not stay beside the validator of this one.
    if (!resumed) await discard(path);
    await Deno.writeTextFile(path + STATE, validator ?? "");
    await append(response, path, received, (now) => {
      patience.reset();
      count = now;
      if (count > options.maxBytes) tooLarge();
      options.onBytes?.(count, total);
    });
    if (total !== undefined && count !== total) {
      fail(`ended after ${count} of ${total} bytes; call again to go on`);
    }
  } catch (error) {
    if (validator === undefined || count > options.maxBytes) await discard(path);
    if (patience.signal.aborted) fail(`no data for ${patience.seconds} seconds; call again to go on`);
    if (error instanceof TypeError) fail(`the connection broke: ${error.message}; call again to go on`);
    throw error instanceof CheckpointError ? error : writeError(path, error);
  }
  return true;
}

/** Removes a file and what is known of its download. */
export async function discard(path: string): Promise<void> {
  for (const each of [path, path + STATE]) await Deno.remove(each).catch(() => {});
}

/** True if a directory holds a part of a file that {@linkcode download} can go on with. */
export async function holdsParts(directory: string): Promise<boolean> {
  try {
    for await (const { name, isDirectory } of Deno.readDir(directory)) {
      if (isDirectory ? await holdsParts(`${directory}/${name}`) : name.endsWith(STATE)) return true;
    }
  } catch {
    // It was never created.
  }
  return false;
}

/** True for the name of what is known of the download of one of `names`. */
export function isStateOf(name: string, names: ReadonlySet<string>): boolean {
  return name.endsWith(STATE) && names.has(name.slice(0, -STATE.length));
}

/** Removes what is known of the download of a complete file. */
export async function finish(path: string): Promise<void> {
  await Deno.remove(path + STATE).catch(() => {});
}

/** Requests a URL and follows redirections, none of which may leave encryption. */
async function request(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  let target = url;
  for (let redirections = 0; redirections <= MAX_REDIRECTIONS; redirections++) {
    const response = await send(target, headers, signal, url);
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    await response.body?.cancel();
    const next = URL.parse(location, target);
    if (!next || !isAllowed(next) || target.protocol === "https:" && next.protocol !== "https:") {
      throw new CheckpointError(
        `${url.href}: refused to follow a redirection to ${JSON.stringify(location)}`,
      );
    }
    target = next;
  }
  throw new CheckpointError(`${url.href}: more than ${MAX_REDIRECTIONS} redirections`);
}

async function send(
  target: URL,
  headers: Record<string, string>,
  signal: AbortSignal,
  original: URL,
): Promise<Response> {
  try {
    return await fetch(target, { headers, signal, redirect: "manual" });
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw new CheckpointError(`${original.href}: needs permission for the network: run with --allow-net`);
    }
    throw new CheckpointError(`${original.href}: cannot be fetched: ${(error as Error).message}`);
  }
}

/** Writes a body to a file after its first `received` bytes. */
async function append(
  response: Response,
  path: string,
  received: number,
  onBytes: (received: number) => void,
): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  await file.truncate(received);
  await file.seek(received, Deno.SeekMode.Start);
  for await (const chunk of response.body ?? []) {
    for (let written = 0; written < chunk.length;) written += await file.write(chunk.subarray(written));
    received += chunk.length;
    onBytes(received);
  }
  await file.sync();
}

interface Part {
  readonly bytes: number;
  readonly validator: string;
}

/** The part that an earlier download left, if the server can be asked for the rest. */
async function readPart(path: string): Promise<Part | undefined> {
  try {
    const validator = await Deno.readTextFile(path + STATE);
    const { size } = await Deno.stat(path);
    return validator === "" || size === 0 ? undefined : { bytes: size, validator };
  } catch {
    return undefined;
  }
}

/** A validator that is the same only for the same bytes (RFC 9110, section 8.8). */
function strongValidator({ headers }: Response): string | undefined {
  const tag = headers.get("etag");
  return tag !== null && !tag.startsWith("W/") ? tag : undefined;
}

/** Length of the body, unless it is encoded, whose length says nothing. */
function lengthOf({ headers }: Response): number | undefined {
  const encoded = (headers.get("content-encoding") ?? "identity") !== "identity";
  const length = headers.get("content-length");
  return encoded || length === null ? undefined : Number(length);
}

function startOf({ headers }: Response): number | undefined {
  return numberIn(/^bytes (\d+)-/, headers);
}

function totalOf({ headers }: Response): number | undefined {
  return numberIn(/^bytes [^/]+\/(\d+)$/, headers);
}

function numberIn(pattern: RegExp, headers: Headers): number | undefined {
  const digits = pattern.exec(headers.get("content-range") ?? "")?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Aborts a signal after some time without a reset. */
class Patience {
  readonly #controller = new AbortController();
  readonly #milliseconds: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
    this.reset();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get seconds(): number {
    return this.#milliseconds / 1000;
  }

  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(), this.#milliseconds);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
