/**
 * WebGPU implementations.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";
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

/** Implementation, version and unsafe toggles, e.g. `Deno/2.9.6` or `Dawn/0.6.2 skip_validation`. */
export function describeBackend(
  { backend, toggles = [] }: { backend: Backend | "browser"; toggles?: readonly string[] },
): string {
  return backend === "dawn" ? [`Dawn/${DAWN_VERSION}`, ...toggles].join(" ") : navigator.userAgent;
}

/**
 * Entry point of the runtime's own WebGPU implementation.
 *
 * @throws {DeviceError} if it has none
 */
export function ownWebGpu(): GPU {
  if (typeof navigator === "undefined" || !navigator.gpu) {
    throw new DeviceError(
      "this runtime has no WebGPU (navigator.gpu is missing); use Deno 2.9 or newer, or a browser with WebGPU",
    );
  }
  return navigator.gpu;
}
