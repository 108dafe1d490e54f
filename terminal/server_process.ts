/**
 * The server's process: its permissions and how it is started.
 *
 * @module
 */
import { weightFileModel } from "../lib/files/weight_files.ts";
import { permissionFlag } from "../lib/process.ts";
import { TUNING_DIRECTORY } from "../lib/tuning/tuning.ts";
import { databaseFiles } from "../server/jobs/database.ts";
import type { ServerSettings } from "../server/settings.ts";
import { IS_ON_DISK, processArguments, programPath } from "./modules.ts";

/** Directories that Deno opens only to programs with all permissions, whatever `--allow-read` says. */
const GUARDED = /^\/(dev|proc|sys)\//;

/** The program's own files, of which its workers' modules are read when those start. */
const PROGRAM = ["server", "lib", "kernels", "deno.json"];

/** Range of ports to search for a free one: above Linux's ephemeral ports. */
const FREE_PORTS = [61_000, 65_535] as const;
/** Number of ports to try. */
const TRIED_PORTS = 8;

/**
 * Deno's arguments for the server, with minimal permissions: to listen on one port (for port 0, on a few, of which it takes
 * the first that is free), to connect to the hosts of webhooks, to read the models and the program, to read the free memory, which limits a software adapter, to
 * write the tuning cache and the jobs' database, and to load Dawn's binary if it runs on Dawn. {@linkcode needsAllPermissions} is the exception.
 *
 * @throws {ConfigError} for a path with a comma, which Deno's permission flags cannot contain
 */
export function serverArguments(settings: ServerSettings): string[] {
  const { host, port } = settings;
  // Permission for port 0 would not let the server listen again on the port that it got.
  const ports = port === 0 ? randomPorts() : [port];
  const readable = readablePaths(settings);
  const kept = keptPaths(settings);
  const name = host.includes(":") ? `[${host}]` : host;
  const options = [
    // Without --unstable-no-legacy-abort, Deno would report every answered request as aborted by its client, too.
    ...["--unstable-no-legacy-abort", "--no-prompt"],
    ...needsAllPermissions(settings) ? ["--allow-all"] : [
      `--allow-net=${[...ports.map((port) => `${name}:${port}`), ...settings.webhookHosts ?? []].join(",")}`,
      permissionFlag("read", readable),
      ...kept.length > 0 ? [permissionFlag("write", kept)] : [],
      "--allow-sys=systemMemoryInfo",
      ...settings.dawn ? [permissionFlag("ffi", [settings.dawn.binary], "DENO_DIR")] : [],
    ],
  ];
  const json = JSON.stringify(port === 0 ? { ...settings, freePorts: ports } : settings);
  return processArguments("server/main.ts", options, [json]);
}

function randomPorts(): number[] {
  const [first, last] = FREE_PORTS;
  const ports = new Set<number>();
  while (ports.size < TRIED_PORTS) ports.add(first + Math.floor(Math.random() * (last - first + 1)));
  return [...ports];
}

/** True if the server uses a path that Deno opens only with all permissions, such as a model in `/dev/shm`. */
export function needsAllPermissions(settings: ServerSettings): boolean {
  return readablePaths(settings).some((path) => {
    try {
      return GUARDED.test(Deno.realPathSync(path));
    } catch (error) {
      return error instanceof Deno.errors.NotCapable; // a link to a guarded path
    }
  });
}

/** Paths that the server writes. */
function keptPaths({ tune, jobs }: ServerSettings): string[] {
  return [
    ...tune === "off" ? [] : [TUNING_DIRECTORY],
    ...jobs === undefined ? [] : databaseFiles(jobs),
  ];
}

/** Paths of models and of their guides. */
export function modelPaths(models: ServerSettings["models"]): string[] {
  return models.flatMap(({ path, guide }) => guide === undefined ? [path] : [path, guide]);
}

function readablePaths(settings: ServerSettings): string[] {
  const { models, tokenFile, keys } = settings;
  const program = IS_ON_DISK ? PROGRAM.map(programPath) : [];
  return [
    ...modelPaths(models).map((path) => weightFileModel(path)?.directory ?? path),
    ...[tokenFile, keys].filter((path) => path !== undefined),
    ...program,
    ...keptPaths(settings),
  ];
}

/** Destinations of a server's output; `null` discards it. */
export interface ServerOutput {
  readonly stdout: "inherit" | "piped" | "null";
  readonly stderr: "inherit" | "piped" | "null";
}

/**
 * Starts the server. It shuts down when its standard input closes, at the latest when this process ends.
 */
export function startServer(settings: ServerSettings, output: ServerOutput): Deno.ChildProcess {
  const env: Record<string, string> = {};
  if (Deno.build.os === "linux" && Deno.env.get("DENO_WEBGPU_BACKEND") === undefined) {
    // Without a Vulkan driver, Deno would silently fall back to OpenGL, which is slower and less tested.
    env.DENO_WEBGPU_BACKEND = "vulkan";
  }
  const args = [...serverArguments(settings), "until-input-ends"];
  return new Deno.Command(Deno.execPath(), { args, env, stdin: "piped", ...output }).spawn();
}
