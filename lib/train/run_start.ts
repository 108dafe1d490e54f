/**
 * Start line of a run's metrics: the run's settings and data, and the machine that it runs on. A resume adds another.
 *
 * @module
 */
import configuration from "../../deno.json" with { type: "json" };
import type { ImageDataset } from "../data/dataset.ts";
import { describeBackend } from "../gpu/backend.ts";
import type { AdapterDescription } from "../gpu/device.ts";
import { driverVersion } from "../tuning/driver.ts";
import { dataEvent } from "./data_event.ts";
import type { DataEvent, StartEvent } from "./events.ts";
import type { GridSettings } from "./options.ts";
import type { RunPlan } from "./run_plan.ts";

/** Machine and software of a run. */
export interface RunMachine {
  readonly adapter: Pick<AdapterDescription, "backend" | "name" | "software" | "features" | "matrices">;
  /** Driver version as the system reports it, e.g. `Mesa 25.0.7-2`; `unknown` where it does not. */
  readonly driver: string;
  /** WebGPU implementation with its version, e.g. `Deno 2.9.0`. */
  readonly webgpu: string;
  /** Version of this package. */
  readonly denoise: string;
  /** Version of Deno. */
  readonly deno: string;
  /** Operating system and processor architecture, e.g. `linux x86_64`. */
  readonly system: string;
}

/** Data of a run, without the images. */
export type RunDataset = Omit<DataEvent, "type"> & Pick<ImageDataset, "imageOptions">;

/** First line of a run's metrics, and of each resume in them. */
export interface RunStart extends Omit<StartEvent, "adapter"> {
  /** Optimizer steps done before. */
  readonly step: number;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly grids: GridSettings;
  readonly dataset: RunDataset;
  readonly machine: RunMachine;
  /** Directory of the model that was fine-tuned, if any. */
  readonly init?: string;
}

/** What a start line adds to the event. */
export interface RunStartParts {
  readonly adapter: AdapterDescription;
  readonly data: ImageDataset;
  readonly plan: RunPlan;
}

/** Describes the start of a run, or its continuation. */
export function describeStart(event: StartEvent, { adapter, data, plan }: RunStartParts): RunStart {
  const { backend, name, software, features, matrices } = adapter;
  const { type: _type, ...dataset } = dataEvent(data, plan);
  return {
    ...event,
    step: event.resumedFrom,
    time: new Date().toISOString(),
    grids: plan.grids,
    dataset: { ...dataset, imageOptions: data.imageOptions },
    machine: {
      adapter: { backend, name, software, features, matrices },
      driver: driverVersion(adapter),
      webgpu: describeBackend(adapter),
      denoise: configuration.version,
      deno: Deno.version.deno,
      system: `${Deno.build.os} ${Deno.build.arch}`,
    },
    init: plan.progress.init,
  };
}
