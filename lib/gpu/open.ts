/**
 * Opens devices in Deno: the choice of a backend and its settings from the environment.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import {
  type Backend,
  type BackendChoice,
  type BackendOptions,
  BACKENDS,
  DAWN_TOGGLES,
  type DawnToggle,
  ownWebGpu,
} from "./backend.ts";
import { environment } from "./dawn/environment.ts";
import { type Gpu, type GpuOptions, openDevice } from "./device.ts";

/**
 * Opens the high-performance WebGPU adapter with its maximum limits.
 *
 * @throws {ConfigError} for an unknown backend or toggle, or a memory budget that is not a number of bytes
 * @throws {DeviceError} if the runtime has no WebGPU, Dawn cannot be loaded, or there is no adapter, or it provides no device
 */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  const choice = chooseBackend(options);
  const emulateMatrices = options.emulateMatrices ?? emulationAsked();
  return await openDevice(
    { ...choice, entry: await entryPoint(choice), advice: ADVICE, emulateMatrices },
    options,
  );
}

const ADVICE = "On Linux install a Vulkan driver and loader (a software one: " +
  "`apt install mesa-vulkan-drivers libvulkan1`, or run `sh tasks/setup.sh test` in the project); " +
  "macOS and Windows need none";

/**
 * Completes the options with defaults from the environment.
 *
 * @throws {ConfigError} for an unknown backend or toggle, naming the option or the environment variable
 */
export function chooseBackend({ backend, toggles }: BackendOptions): BackendChoice {
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

/** Environment variable that emulates matrix units if its value is `emulate`. */
const EMULATION = "DENOISE_MATRICES";

/**
 * True if the environment asks for emulated matrix units.
 * @throws {ConfigError} for another value of the variable
 */
export function emulationAsked(): boolean {
  const value = environment(EMULATION);
  if (value !== undefined && value !== "emulate") throw new ConfigError(EMULATION, value, "emulate");
  return value !== undefined;
}

/**
 * Entry point of a WebGPU implementation. Dawn's code is loaded on first use.
 *
 * @throws {DeviceError} if there is none in this runtime, or Dawn cannot be loaded
 */
export async function entryPoint({ backend, toggles }: BackendChoice): Promise<GPU> {
  return backend === "dawn" ? await (await import("./dawn/instance.ts")).dawn(toggles) : ownWebGpu();
}
