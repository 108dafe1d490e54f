/**
 * Environment of a measurement: adapter, driver, runtime, machine and its load.
 *
 * @module
 */
import { availableParallelism, loadavg } from "node:os";
import type { AdapterDescription, Gpu } from "../lib/gpu/device.ts";
import { driverVersion } from "../lib/tuning/driver.ts";

/** Where and when a bench ran. */
export interface Environment {
  readonly adapter: AdapterDescription;
  /** The driver's version where the system tells; WebGPU itself does not. */
  readonly driver: string;
  readonly deno: string;
  readonly system: string;
  /** Threads that the machine runs at once. */
  readonly threads: number;
  /** Load average of the last minute before the bench began; what is above 0 was taken by others. */
  readonly load: number;
  /** ISO 8601, UTC. */
  readonly date: string;
}

/** Describes the machine as it is now. */
export function describeEnvironment(gpu: Gpu): Environment {
  return {
    adapter: gpu.adapter,
    driver: driverVersion(gpu.adapter),
    deno: Deno.version.deno,
    system: `${Deno.build.os} ${Deno.build.arch}`,
    threads: availableParallelism(),
    load: loadavg()[0] ?? 0,
    date: new Date().toISOString(),
  };
}
