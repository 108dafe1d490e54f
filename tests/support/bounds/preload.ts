/**
 * Preloaded by `deno task test --bounds`: all devices of Deno's WebGPU report indices out of bounds, and a test file in which
 * there is one fails.
 */
import { type BoundsReport, describeFaults, watchBounds } from "./device.ts";

const reports: BoundsReport[] = [];

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  const device = await requestDevice.call(this, descriptor);
  reports.push(watchBounds(device));
  return device;
};

Deno.test.afterAll(async () => {
  const faults = (await Promise.all(reports.map((report) => report.faults()))).flat();
  if (faults.length > 0) throw new Error(`indices out of bounds:\n${describeFaults(faults)}`);
});
