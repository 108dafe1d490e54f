/** The server as a process of its own, as `deno task serve` starts it, on a network that draws 8 x 8 pixels. */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { defaultSettings, type ServerSettings } from "../../../server/settings.ts";
import { serverArguments, startServer } from "../../../tasks/terminal/server_process.ts";

/** A pipeline of three classes without names. */
export const MODEL = fileURLToPath(new URL("../../golden/tiny_pipeline", import.meta.url));

/** A line of the server's log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** A process that was started, and what it has said so far. */
export interface Watched {
  readonly child: Deno.ChildProcess;
  /** Lines of standard output that are JSON. */
  readonly log: readonly LogLine[];
  /** Resolves with the first line of the log with this message; fails where it ends before. */
  logged(message: string): Promise<LogLine>;
  /** How it ended, and all of standard error. */
  ended(): Promise<{ readonly code: number; readonly err: string }>;
}

/** Milliseconds after which what was waited for will not come: far more than it takes on a busy machine. */
const PATIENCE = 60_000;

/** A promise that fails when it takes too long, so that a test fails and does not hang. */
export async function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`waited too long for ${what}`)), PATIENCE);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads what a process says. */
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

/** A server that is ready. */
export interface Running extends Watched {
  readonly url: string;
}

/** Starts a server on a free port. */
export function launch(settings: Partial<ServerSettings> = {}): Watched {
  const all = { ...defaultSettings, model: MODEL, port: 0, ...settings };
  return watch(startServer(all, { stdout: "piped", stderr: "piped" }));
}

/** Starts a server on a free port that may have no more than `descriptors` files and connections open. */
export function launchLimited(descriptors: number, settings: Partial<ServerSettings> = {}): Watched {
  const all = { ...defaultSettings, model: MODEL, port: 0, tune: "off" as const, ...settings };
  const args = ["-c", `ulimit -n ${descriptors}; exec "$0" "$@"`, Deno.execPath(), ...serverArguments(all)];
  const env = { DENO_WEBGPU_BACKEND: "vulkan" };
  return watch(
    new Deno.Command("sh", { args, env, stdin: "null", stdout: "piped", stderr: "piped" }).spawn(),
  );
}

/** Runs `body` with a server that is ready, and ends it where `body` has not. */
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
      // it has ended
    }
    await server.ended();
    await server.child.stdin.close().catch(() => {});
  }
}

/** Asks until an answer is as wanted. */
export async function askUntil(
  url: string,
  good: (answer: Response, body: string) => boolean,
): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (performance.now() < end) {
    const answer = await fetch(url);
    if (good(answer, await answer.text())) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited too long for ${url} to answer as wanted`);
}

/** The value of one of the server's metrics that has no labels. */
export function metric(text: string, name: string): number {
  return Number(new RegExp(`^denoise_${name} (\\S+)$`, "m").exec(text)?.[1]);
}
