/** Server processes, as `deno task serve` starts them, on a network for 8 x 8 pixels. */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { defaultSettings, type ServerSettings } from "../../../server/settings.ts";
import { serverArguments, startServer } from "../../../terminal/server_process.ts";

/** A pipeline of three classes without names. */
export const MODEL = fileURLToPath(new URL("../../golden/tiny_pipeline", import.meta.url));

/** That pipeline as the only model. */
export const MODELS: ServerSettings["models"] = [{ name: "tiny_pipeline", path: MODEL }];

/** A log line of the server. */
export type LogLine = Readonly<Record<string, unknown>>;

/** A started process and its output so far. */
export interface Watched {
  readonly child: Deno.ChildProcess;
  /** JSON lines of standard output. */
  readonly log: readonly LogLine[];
  /** Resolves with the first log line that has this message; rejects if the output ends without one. */
  logged(message: string): Promise<LogLine>;
  /** Exit code, and all of standard error. */
  ended(): Promise<{ readonly code: number; readonly err: string }>;
}

/** Timeout of all waits in milliseconds, far longer than needed on a busy machine. */
const TIMEOUT_MS = 60_000;

/** Rejects after a timeout, so that a test fails instead of hanging. */
export async function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`waited too long for ${what}`)), TIMEOUT_MS);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Collects the output of a process. */
export function watch(child: Deno.ChildProcess): Watched {
  const log: LogLine[] = [];
  let err = "";
  let over = false;
  let wake = Promise.withResolvers<void>();
  const news = () => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  const reading = (async () => {
    for await (const line of createInterface({ input: Readable.from(child.stdout) })) {
      if (line.startsWith("{")) log.push(JSON.parse(line));
      news();
    }
    over = true;
    news();
  })();
  const errors = new Response(child.stderr).text().then((text) => err = text);
  return {
    child,
    log,
    async logged(message) {
      while (true) {
        const line = log.find((line) => line.message === message);
        if (line) return line;
        if (over) throw new Error(`"${message}" was not logged: ${JSON.stringify(log)} ${await errors}`);
        await soon(wake.promise, `"${message}" in the log, after ${JSON.stringify(log)}`);
      }
    },
    async ended() {
      await soon(Promise.all([reading, errors]), "the end of a process");
      const { code } = await child.status;
      return { code, err };
    },
  };
}

/** A ready server. */
export interface Running extends Watched {
  readonly url: string;
}

/** Starts a server on a free port. */
export function launch(settings: Partial<ServerSettings> = {}): Watched {
  const all = { ...defaultSettings, models: MODELS, port: 0, ...settings };
  return watch(startServer(all, { stdout: "piped", stderr: "piped" }));
}

/** Starts a server on a free port that may have no more than `descriptors` files and connections open. */
export function launchLimited(descriptors: number, settings: Partial<ServerSettings> = {}): Watched {
  const all = { ...defaultSettings, models: MODELS, port: 0, tune: "off" as const, ...settings };
  const args = ["-c", `ulimit -n ${descriptors}; exec "$0" "$@"`, Deno.execPath(), ...serverArguments(all)];
  const env = { DENO_WEBGPU_BACKEND: "vulkan" };
  return watch(
    new Deno.Command("sh", { args, env, stdin: "null", stdout: "piped", stderr: "piped" }).spawn(),
  );
}

/** Runs `body` with a ready server, and kills the server if `body` has not stopped it. */
export async function withServer(
  settings: Partial<ServerSettings>,
  body: (server: Running) => Promise<void>,
): Promise<void> {
  const server = launch(settings);
  try {
    const { url } = await server.logged("ready");
    await body({ ...server, url: String(url) });
  } finally {
    try {
      server.child.kill("SIGKILL");
    } catch {
      // already exited
    }
    await server.ended();
    await server.child.stdin.close().catch(() => {});
  }
}

/** Repeats a request until the response is accepted. */
export async function askUntil(
  url: string,
  good: (answer: Response, body: string) => boolean,
): Promise<void> {
  const end = performance.now() + TIMEOUT_MS;
  while (performance.now() < end) {
    const answer = await fetch(url);
    if (good(answer, await answer.text())) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited too long for ${url} to answer as wanted`);
}

/** Value of a metric without labels, or with that of the model alone. */
export function metric(text: string, name: string): number {
  return Number(new RegExp(`^denoise_${name}(?:\\{model="[^"]*"\\})? (\\S+)$`, "m").exec(text)?.[1]);
}
