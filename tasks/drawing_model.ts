/**
 * The model of a task that draws images, and its progress.
 *
 * @module
 */
import { dirname } from "node:path";
import { DDPM } from "../mod.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { inPrecision } from "../lib/model/precision.ts";
import { SHIPPED_MODELS } from "../lib/remote/shipped_models.ts";
import { TUNING_DIRECTORY } from "../lib/tuning/tuning.ts";
import type { Reporter } from "../terminal/progress.ts";
import { showTuning } from "../terminal/tuning.ts";
import { fetchNamedModel } from "./remote_model.ts";
import { fetchDefaultModel, modelDirectory, RUNS, secondModel } from "./runs.ts";
import type { DeviceFlags, ModelFlags, SamplerFlags } from "./sampling_flags.ts";

/** Flags that say which model draws, and on what. */
type Flags = ModelFlags & DeviceFlags & Pick<SamplerFlags, "guide">;

/** Fetches the models that the flags name by URL, while the task may still start programs. */
export async function fetchDrawingModels({ model, variant, guide }: Flags): Promise<void> {
  if (model === undefined) await fetchDefaultModel();
  else await fetchNamedModel(model, variant);
  await fetchNamedModel(guide);
}

/** Finds the models that the flags name; the result loads them on a device, before which nothing is read. */
export async function findDrawingModel(flags: Flags): Promise<(gpu: Gpu, report: Reporter) => Promise<DDPM>> {
  const { tune, variant, precision } = flags;
  const directory = await modelDirectory(flags.model, variant);
  const guide = await secondModel("--guide", flags.guide);
  return async (gpu, report) =>
    await DDPM.load(directory, {
      ...{ gpu, guide, tune, variant, precision },
      tuningDirectory: TUNING_DIRECTORY,
      onWarning: (message) => report.line(`warning: ${message}`),
      onTuning: showTuning(report),
    });
}

/** Says which model draws, and on which device. */
export function showModel(model: DDPM, { model: named }: ModelFlags, report: Reporter): void {
  const choice = named === undefined && dirname(model.path) === RUNS
    ? ` (your newest run; the project's own: --model ${SHIPPED_MODELS[0]})`
    : "";
  report.line(`model ${model.path}${choice} on ${model.adapter}${inPrecision(model.precision)}`);
}

/** Progress callback that starts the bar at the first step, when the total is known. */
export function stepProgress(report: Reporter, label: string): (done: number, total: number) => void {
  let started = false;
  return (done, total) => {
    if (!started) report.start(total, label);
    started = true;
    report.update(done, {});
  };
}
