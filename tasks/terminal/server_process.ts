/**
 * The server's process: what it may do, and how it is started.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { ConfigError } from "../../lib/errors.ts";
import { TUNING_DIRECTORY } from "../../lib/tuning/tuning.ts";
import type { ServerSettings } from "../../server/settings.ts";

/** Directories that Deno opens to programs with all permissions only, whatever `--allow-read` names. */
const GUARDED = /^\/(dev|proc|sys)\//;

const ROOT = new URL("../../", import.meta.url);

/** The program's own files that it reads: its workers' modules and the page. */
const PROGRAM = ["server", "lib", "kernels", "deno.json"];

/** Where a free port is looked for: above those that Linux gives to clients, which come and go. */
const FREE_PORTS = [61_000, 65_535] as const;
/** Free ports that a server may try. */
const TRIED_PORTS = 8;

/**
 * How Deno is started with these settings: with leave to listen on one port (or for port 0, on a few of which it takes
 * the first that is free), to read the model and the program, to see how much memory is free, which bounds what a
 * software adapter may take, and to keep the choice of kernels in a directory where nothing else is. With no more than
 * that, unless {@linkcode needsAllPermissions} says so.
 *
 * @throws {ConfigError} for a path that Deno's command line cannot name
 */
export function serverArguments(settings: ServerSettings): string[] {
  const { host, port, tune } = settings;
  // Leave to listen on "port 0" would not let the server listen again on the port that it got.
  const ports = port === 0 ? randomPorts() : [port];
  const readable = readablePaths(settings);
  const kept = tune === "off" ? [] : [TUNING_DIRECTORY];
  const comma = readable.find((path) => path.includes(","));
  if (comma !== undefined) throw new ConfigError("path", comma, "one without a comma, which separates paths");
  const name = host.includes(":") ? `[${host}]` : host;
  return [
    // Without the second, Deno would tell of a client that has gone for each one that got its answer, too.
    ...[
      "run",
      "--unstable-no-legacy-abort",
      "--no-prompt",
      `--config=${fileURLToPath(new URL("deno.json", ROOT))}`,
    ],
    ...needsAllPermissions(settings) ? ["--allow-all"] : [
      `--allow-net=${ports.map((port) => `${name}:${port}`).join(",")}`,
      `--allow-read=${readable.join(",")}`,
      ...kept.map((path) => `--allow-write=${path}`),
      "--allow-sys=systemMemoryInfo",
    ],
    fileURLToPath(new URL("server/main.ts", ROOT)),
    JSON.stringify(port === 0 ? { ...settings, freePorts: ports } : settings),
  ];
}

function randomPorts(): number[] {
  const [first, last] = FREE_PORTS;
  const ports = new Set<number>();
  while (ports.size < TRIED_PORTS) ports.add(first + Math.floor(Math.random() * (last - first + 1)));
  return [...ports];
}

/** Whether a path that the server reads is where Deno grants nothing but everything, such as a model in `/dev/shm`. */
export function needsAllPermissions(settings: ServerSettings): boolean {
  return readablePaths(settings).some((path) => {
    try {
      return GUARDED.test(Deno.realPathSync(path));
    } catch (error) {
      return error instanceof Deno.errors.NotCapable; // Where it leads is guarded itself.
    }
  });
}

function readablePaths({ model, tokenFile, tune }: ServerSettings): string[] {
  const program = PROGRAM.map((path) => fileURLToPath(new URL(path, ROOT)));
  const kept = tune === "off" ? [] : [TUNING_DIRECTORY];
  return [model, ...tokenFile === undefined ? [] : [tokenFile], ...program, ...kept];
}

/** Where a server's output goes; `null` is nowhere. */
export interface ServerOutput {
  readonly stdout: "inherit" | "piped" | "null";
  readonly stderr: "inherit" | "piped" | "null";
}

/**
 * Starts the server. It finishes what it has begun and ends when its standard input does, which is with this process
 * at the latest.
 */
export function startServer(settings: ServerSettings, output: ServerOutput): Deno.ChildProcess {
  const env: Record<string, string> = {};
  if (Deno.build.os === "linux" && Deno.env.get("DENO_WEBGPU_BACKEND") === undefined) {
    // Without a Vulkan driver Deno would fall back to OpenGL without a word, which is slower and less tested.
    env.DENO_WEBGPU_BACKEND = "vulkan";
  }
  const args = [...serverArguments(settings), "until-input-ends"];
  return new Deno.Command(Deno.execPath(), { args, env, stdin: "piped", ...output }).spawn();
}
