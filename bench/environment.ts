/**
 * Environment of a measurement: adapter, driver, runtime, machine and its load.
 *
 * @module
 */
import { availableParallelism, loadavg } from "node:os";
import { describeBackend } from "../lib/gpu/backend.ts";
import type { AdapterDescription, Gpu } from "../lib/gpu/device.ts";
import { driverVersion } from "../lib/tuning/driver.ts";

/** Machine and time of a bench. */
export interface Environment {
  readonly adapter: AdapterDescription;
  /** Driver version as the system reports it; WebGPU has no such field. */
  readonly driver: string;
  readonly deno: string;
  /** Version and unsafe toggles of Dawn; absent: Deno's own WebGPU. */
  readonly dawn?: string;
  readonly system: string;
  /** Hardware threads available to the process. */
  readonly threads: number;
  /** One-minute load average before the benchmark began: the load of other processes. */
  readonly load: number;
  /** ISO 8601, UTC. */
  readonly date: string;
}

/** Describes the machine and the device. */
export function describeEnvironment(gpu: Gpu): Environment {
  return {
    adapter: gpu.adapter,
    driver: driverVersion(gpu.adapter),
    deno: Deno.version.deno,
    ...gpu.adapter.backend === "dawn" ? { dawn: describeBackend(gpu.adapter) } : {},
    system: `${Deno.build.os} ${Deno.build.arch}`,
    threads: availableParallelism(),
    load: loadavg()[0] ?? 0,
    date: new Date().toISOString(),
  };
}
