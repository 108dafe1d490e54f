/**
 * A run's kernel choices, stored with its checkpoints. Kernel variants round differently, so a resumed run keeps the ones
 * that it was started with, and computes the same bits even if tuning has found faster ones since.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Graph } from "../graph/graph.ts";
import { recordForward } from "../model/network.ts";
import { driverVersion } from "../tuning/driver.ts";
import { fileProblem } from "../files/durable.ts";
import { boundScaleOf } from "./objective_settings.ts";
import type { RunEnvironment } from "./options.ts";
import type { RunPlan } from "./run_plan.ts";
import { GRID_SHARE } from "./grid_schedule.ts";
import { gridRows } from "./sample_grid.ts";
import { trainingGraph } from "./device/step_graph.ts";
import { Tuning } from "../tuning/tuning.ts";
import { openTuning, readRecord, tuningIdentity, writeRecord } from "../tuning/tuning_file.ts";

/** Name of the file in a run directory. */
export const RUN_TUNING = "tuning.json";

/**
 * Kernel choices of a new or resumed run. A run resumed on the same adapter keeps its choices, with the default rules for
 * kernels that have none; on another adapter it is tuned anew.
 */
export async function openRunTuning(
  gpu: Gpu,
  { out, resume = false, tune, tuningDirectory }: RunEnvironment,
  onWarning: (message: string) => void,
): Promise<Tuning> {
  if (resume) {
    const record = await readRecord(join(out!, RUN_TUNING), onWarning);
    const elsewhere = record && record.identity.adapter !== gpu.adapter.name;
    if (!elsewhere) return Tuning.of(gpu, record?.choices);
  }
  return await openTuning(gpu, { tune, tuningDirectory }, onWarning);
}

/** Graphs of a run: training, validation, and sample grids if any are drawn. */
export function runGraphs(plan: RunPlan): Graph[] {
  const { model: config, batch, checkpointActivations, precision, augment } = plan.settings;
  const rows = [batch, ...gridRows(plan)];
  return [
    trainingGraph({
      config,
      batch,
      checkpointActivations,
      precision,
      augment,
      boundScale: boundScaleOf(plan.settings),
    }),
    ...rows.map((rows) => recordForward(config, rows, precision).g),
  ];
}

/** Number of runs of each of the {@linkcode runGraphs} until the end, roughly. */
export function graphRuns({ settings, grids, progress, ...plan }: RunPlan): number[] {
  const { batch, accumulate } = settings;
  const steps = (plan.totalSteps - progress.step) * accumulate;
  const epochs = Math.ceil(steps / (plan.stepsPerEpoch * accumulate));
  const validation = epochs * Math.ceil(plan.validationImages / batch);
  const { sampleEvery, sampleSteps } = grids;
  const drawing = sampleSteps * Math.ceil(epochs / (sampleEvery || 1));
  // Without `sampleEvery`, grids take a small share of the time; a pass of theirs costs about a third of a training step.
  const passes = sampleEvery === null ? Math.min(drawing, 3 * GRID_SHARE * steps) : drawing;
  return [steps, validation, passes];
}

/**
 * Stores the kernel choices of a run.
 * @throws {CheckpointError} if they cannot be written
 */
export async function saveRunTuning(
  gpu: Gpu,
  { out, resume = false }: RunEnvironment,
  tuning: Tuning,
): Promise<void> {
  if (out === undefined) return;
  const path = join(out, RUN_TUNING);
  if (tuning.active) {
    const driver = driverVersion(gpu.adapter);
    await writeRecord(path, { identity: tuningIdentity(gpu), driver, choices: tuning.used });
  } else if (!resume) await removeLeftover(path);
}

/** Removes the file of an earlier run that ended before its first checkpoint. */
async function removeLeftover(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw new CheckpointError(`cannot remove ${path}: ${fileProblem(error)}`);
  }
}
