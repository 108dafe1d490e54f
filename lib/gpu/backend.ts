/**
 * WebGPU implementations, and the choice between them.
 *
 * @module
 */
import { ConfigError, DeviceError } from "../errors.ts";
import { DAWN_VERSION } from "./dawn/package.ts";

/**
 * WebGPU implementation: `deno`, the runtime's own (in a browser, the browser's), or `dawn`, Chromium's, which Deno loads
 * as native code from the npm package `webgpu`, with `--allow-ffi`. Only Dawn offers matrix units. Where it does not suit the
 * machine's driver it may end the process; the tasks try it in another one first.
 */
export type Backend = "deno" | "dawn";

/** All backends, the default first. */
export const BACKENDS: readonly Backend[] = ["deno", "dawn"];

/**
 * Toggle of Dawn that trades safety for speed. `disable_robustness`: no bounds checks on memory accesses of kernels, whose
 * indices `deno task test --bounds` checks, except those that depend on data and loads of matrix units; `skip_validation`: no
 * validation of commands; `disable_workgroup_init`: workgroup memory is not zeroed, which no test shows to be unnecessary.
 */
export type DawnToggle = "disable_robustness" | "skip_validation" | "disable_workgroup_init";

/** All toggles that may be asked for. Dawn ignores unknown names silently, so others are refused. */
export const DAWN_TOGGLES: readonly DawnToggle[] = [
  "disable_robustness",
  "skip_validation",
  "disable_workgroup_init",
];

/** Selection of a WebGPU implementation. */
export interface BackendOptions {
  /** Default: the environment variable `DENOISE_BACKEND` where it may be read, otherwise `deno`. */
  readonly backend?: Backend;
  /**
   * Unsafe toggles, for `dawn` only. Correct kernels and drivers give the same bits, but a fault in one is not caught. Default:
   * the names in the environment variable `DENOISE_DAWN_TOGGLES`, separated by commas, where it may be read; otherwise none.
   */
  readonly toggles?: readonly DawnToggle[];
}

/** Selected WebGPU implementation. */
export interface BackendChoice {
  readonly backend: Backend;
  /** Unsafe toggles in use; none with `deno`. */
  readonly toggles: readonly DawnToggle[];
}

/**
 * Completes the options with defaults from the environment.
 *
 * @throws {ConfigError} for an unknown backend or toggle, naming the option or the environment variable
 */
export async function chooseBackend({ backend, toggles }: BackendOptions): Promise<BackendChoice> {
  const environment = await readEnvironment();
  const chosen = backend === undefined
    ? checkBackend("DENOISE_BACKEND", environment("DENOISE_BACKEND") ?? "deno")
    : checkBackend("backend", backend);
  if (chosen === "dawn") {
    const set = environment("DENOISE_DAWN_TOGGLES")?.split(",") ?? [];
    const names = toggles ? checkToggles("toggles", toggles) : checkToggles("DENOISE_DAWN_TOGGLES", set);
    return { backend: chosen, toggles: names };
  }
  if (toggles && toggles.length > 0) {
    throw new ConfigError("toggles", toggles, "none, since the backend is not dawn");
  }
  return { backend: chosen, toggles: [] };
}

/** Reads environment variables where the runtime has them; undefined for one that is unset or empty, or may not be read. */
export async function readEnvironment(): Promise<(variable: string) => string | undefined> {
  if (!("Deno" in globalThis)) return () => undefined;
  const { environment } = await import("./dawn/environment.ts");
  return environment;
}

function checkBackend(field: string, value: string): Backend {
  const backend = BACKENDS.find((backend) => backend === value);
  if (!backend) throw new ConfigError(field, value, BACKENDS.join(" or "));
  return backend;
}

function checkToggles(field: string, names: readonly string[]): DawnToggle[] {
  return [...new Set(names)].sort().map((name) => {
    const toggle = DAWN_TOGGLES.find((toggle) => toggle === name);
    if (!toggle) throw new ConfigError(field, name, `some of ${DAWN_TOGGLES.join(", ")}`);
    return toggle;
  });
}

/** Implementation, version and unsafe toggles, e.g. `Deno/2.9.6` or `Dawn/0.6.2 skip_validation`. */
export function describeBackend(
  { backend, toggles = [] }: { backend: Backend; toggles?: readonly string[] },
) {
  return backend === "deno" ? navigator.userAgent : [`Dawn/${DAWN_VERSION}`, ...toggles].join(" ");
}

/**
 * Entry point of a WebGPU implementation.
 *
 * @throws {DeviceError} if there is none in this runtime, or Dawn cannot be loaded
 */
export async function entryPoint({ backend, toggles }: BackendChoice): Promise<GPU> {
  if (backend === "dawn") {
    if (!("Deno" in globalThis)) throw new DeviceError("the backend dawn needs Deno; leave `backend` out");
    return (await import("./dawn/instance.ts")).dawn(toggles);
  }
  if (typeof navigator === "undefined" || !navigator.gpu) {
    throw new DeviceError(
      "this runtime has no WebGPU (navigator.gpu is missing); use Deno 2.9 or newer, or a browser with WebGPU",
    );
  }
  return navigator.gpu;
}
