/**
 * Opens devices in browsers.
 *
 * @module
 */
import { ownWebGpu } from "./backend.ts";
import { type DeviceOptions, type Gpu, openDevice } from "./device.ts";

/**
 * Opens the browser's high-performance WebGPU adapter with its maximum limits.
 *
 * @throws {ConfigError} for a memory budget that is not a number of bytes
 * @throws {DeviceError} if the browser has no WebGPU, or there is no adapter, or it provides no device
 */
export async function openBrowserGpu(options: DeviceOptions = {}): Promise<Gpu> {
  return await openDevice({ backend: "browser", entry: ownWebGpu(), advice: ADVICE }, options);
}

const ADVICE =
  "The browser has WebGPU, but no adapter for it: it may be turned off in the browser's settings (hardware " +
  "acceleration), or the graphics driver may be too old";
