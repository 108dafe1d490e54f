/**
 * The `--backend` flag of the tasks, and the permission for Dawn's native code, which nothing but Dawn gets.
 *
 * @module
 */
import project from "../deno.json" with { type: "json" };
import { ConfigError, DenoiseError } from "../lib/errors.ts";
import { type Backend, BACKENDS, type DawnToggle } from "../lib/gpu/backend.ts";
import { chooseBackend } from "../lib/gpu/open.ts";
import { dawnBinary, probeDawn } from "../lib/gpu/dawn/probe.ts";
import { findMpiLibrary, MPI_LIBRARY } from "../lib/mpi/library.ts";
import { launchedRanks } from "../lib/mpi/mpi.ts";
import { permissionFlag } from "../lib/process.ts";
import { commandLine } from "../lib/program.ts";
import type { FlagOptions } from "./cli.ts";
import { processArguments } from "./modules.ts";
import { oneOf } from "./values.ts";
import { complain } from "./output.ts";
import { exitCodeOf } from "./signals.ts";

/** Help text of the flag. */
export const BACKEND_HELP =
  "WebGPU implementation: deno, the built-in one; dawn, Chromium's, with matrix units: native code from npm, a download of 51 MB once";

/** Options of the flag; undefined means the environment's choice, otherwise deno. */
export const BACKEND_OPTIONS: FlagOptions<Backend> = {
  value: oneOf(BACKENDS),
  defaultText: "DENOISE_BACKEND, or deno",
};

/** Dawn, tried out on this machine. */
export interface TriedDawn {
  /** Path of the binary, the only native code that is needed. */
  readonly binary: string;
  /** Unsafe toggles. */
  readonly toggles: readonly DawnToggle[];
}

/** Warning about unsafe toggles, which stay off by default as long as their worth on a GPU is not measured. */
export function describeToggles(toggles: readonly DawnToggle[]): string {
  return `warning: Dawn runs with ${toggles.join(" and ")} (DENOISE_DAWN_TOGGLES), so a fault ` +
    "in a kernel or driver can crash, or change other memory, where it would be caught otherwise";
}

/**
 * Selects the flag's backend for this process and its children; Dawn is tried out first.
 *
 * @param backend of the flag
 * @returns Dawn; undefined for another backend
 * @throws {ConfigError} for an unknown backend or toggle in the environment
 * @throws {DeviceError} if Dawn does not work here
 */
export async function selectBackend(backend: Backend | undefined): Promise<TriedDawn | undefined> {
  const choice = chooseBackend({ backend });
  Deno.env.set("DENOISE_BACKEND", choice.backend);
  if (choice.backend !== "dawn") return undefined;
  if (choice.toggles.length > 0) complain(describeToggles(choice.toggles));
  if (Deno.build.standalone) {
    throw new ConfigError(
      "backend",
      choice.backend,
      "deno in an executable, which contains no native code of Dawn",
    );
  }
  const binary = await dawnBinary();
  await probeDawn(binary, choice.toggles);
  return { binary, toggles: choice.toggles };
}

/** Dawn, if this process runs on it. Call after {@linkcode selectBackend} or {@linkcode continueOnBackend}. */
export async function dawnInUse(): Promise<TriedDawn | undefined> {
  const { backend, toggles } = chooseBackend({});
  return backend === "dawn" ? { binary: await dawnBinary(), toggles } : undefined;
}

/** Advice after a crash of Dawn. */
export const WITHOUT_DAWN = "use --backend deno";

/** Environment variable of a task that started itself again: its first process. */
const STARTED_BY = "DENOISE_STARTED_BY";
/** Milliseconds between checks that the first process still exists. */
const CHECK_INTERVAL = 500;

/** Tasks of deno.json that run on a backend. */
export type BackendTask = "train" | "sample" | "edit" | "bench" | "bench:serve";

/**
 * Continues a task on its backend, and on its rank. With Dawn, or a library of MPI, another process of the task does, which may
 * load that: permissions cannot be added to a running process. With any other backend this one does, and a task that starts no programs itself
 * gives up the permission to do so.
 *
 * @param args the task's command line
 * @param backend of the flag
 * @param startsPrograms true if the task itself needs the permission
 * @returns exit code of the other process after its end; undefined: go on in this one
 * @throws {ConfigError} for an unknown backend or toggle in the environment
 * @throws {DenoiseError} without permission for environment variables
 * @throws {DeviceError} if Dawn does not work here
 */
export async function continueOnBackend(
  task: BackendTask,
  args: readonly string[],
  backend: Backend | undefined,
  startsPrograms = false,
): Promise<number | undefined> {
  const granted = (permission: Deno.PermissionDescriptor) =>
    Deno.permissions.querySync(permission).state === "granted";
  if (!granted({ name: "env", variable: STARTED_BY })) {
    throw new DenoiseError(
      `the task needs permission for environment variables: run it with --allow-env, or by \`${
        commandLine(task)
      }\``,
    );
  }
  if (Number(Deno.env.get(STARTED_BY)) === Deno.ppid) {
    endWith(Deno.ppid);
    return undefined;
  }
  if (!granted({ name: "run" })) {
    // Started without deno.json's permissions: Dawn's own error says which one it needs.
    if (backend) Deno.env.set("DENOISE_BACKEND", backend);
    return undefined;
  }
  const dawn = await selectBackend(backend);
  const mpi = task === "train" ? await mpiLibrary() : undefined;
  const native: NativeCode = { ...dawn ? { dawn: dawn.binary } : {}, ...mpi === undefined ? {} : { mpi } };
  if (Object.values(native).some((path) => !granted({ name: "ffi", path }))) {
    return await runAgain(task, args, native, startsPrograms);
  }
  if (!startsPrograms) Deno.permissions.revokeSync({ name: "run" });
  return undefined;
}

/** Ends this process when another one has ended, even if that was killed. */
function endWith(parent: number): void {
  const timer = setInterval(() => {
    if (Deno.ppid !== parent) Deno.exit(1);
  }, CHECK_INTERVAL);
  Deno.unrefTimer(timer);
}

/** Path of the library of MPI, if a launcher has started several ranks. */
async function mpiLibrary(): Promise<string | undefined> {
  const variables = Deno.env.toObject();
  return launchedRanks(variables) > 1 ? await findMpiLibrary(variables) : undefined;
}

/** Native code that a task needs, by path. */
export interface NativeCode {
  readonly dawn?: string;
  /** Library of MPI. */
  readonly mpi?: string;
}

/** Runs the task in a process with permission for native code. @returns its exit code */
async function runAgain(
  task: BackendTask,
  args: readonly string[],
  native: NativeCode,
  startsPrograms: boolean,
): Promise<number> {
  const { dawn, mpi } = native;
  const child = new Deno.Command(Deno.execPath(), {
    args: [...nativeArguments(task, native, startsPrograms), ...args],
    env: { [STARTED_BY]: String(Deno.pid), ...mpi === undefined ? {} : { [MPI_LIBRARY]: mpi } },
  }).spawn();
  return dawn === undefined
    ? await exitCodeOf(child, "the process of this rank")
    : await exitCodeOf(child, "the process on Dawn", WITHOUT_DAWN);
}

/** Deno's arguments for a task with native code: the permissions of deno.json, and one for its files. */
export function nativeArguments(
  task: BackendTask,
  { dawn, mpi }: NativeCode,
  startsPrograms: boolean,
): string[] {
  const [, , ...flags] = project.tasks[task].command.split(" ");
  const script = flags.pop()!; // each of these tasks is `deno run … SCRIPT`
  const options = [
    ...flags.filter((flag) => startsPrograms || flag !== "--allow-run"),
    permissionFlag(
      "ffi",
      [dawn, mpi].filter((path) => path !== undefined),
      mpi === undefined ? "DENO_DIR" : MPI_LIBRARY,
    ),
  ];
  return processArguments(script, options, []);
}
