/**
 * A run's own choices of kernels. Ways to compute the same round differently, so a run keeps those that it was started
 * with beside its checkpoints: resumed, it computes the same bits, whatever was found out meanwhile.
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
import type { Surroundings } from "./options.ts";
import type { RunPlan } from "./run_plan.ts";
import { gridRows } from "./sample_grid.ts";
import { trainingGraph } from "./device/step_graph.ts";
import { Tuning } from "../tuning/tuning.ts";
import { readRecord, tuningIdentity, writeRecord } from "../tuning/tuning_file.ts";

/** File in a run's directory. */
export const RUN_TUNING = "tuning.json";

/**
 * The choices that a run starts with, or goes on with: on the adapter that it was started on those it had, and rules for
 * what they do not say, or for all where it was started by rules.
 */
export async function openRunTuning(
  gpu: Gpu,
  { out, resume = false, tune, tuningDirectory }: Surroundings,
  onWarning: (message: string) => void,
): Promise<Tuning> {
  if (resume) {
    const record = await readRecord(join(out!, RUN_TUNING), onWarning);
    const elsewhere = record && record.identity.adapter !== gpu.adapter.name;
    if (!elsewhere) return Tuning.of(gpu, record?.choices);
  }
  return await Tuning.open(gpu, { tune, tuningDirectory }, onWarning);
}

/** The graphs that a run consists of: gradients, validation, and grids where some are drawn. */
export function runGraphs(plan: RunPlan): Graph[] {
  const { model: config, batch, checkpointActivations, precision } = plan.settings;
  const rows = [batch, ...gridRows(plan)];
  return [
    trainingGraph({ config, batch, checkpointActivations, precision }),
    ...rows.map((rows) => recordForward(config, rows, precision).g),
  ];
}

/**
 * Keeps what a run computes with. One that goes on with what it has changes nothing.
 * @throws {CheckpointError} when that cannot be written
 */
export async function keepRunTuning(
  gpu: Gpu,
  { out, resume = false }: Surroundings,
  tuning: Tuning,
): Promise<void> {
  if (out === undefined) return;
  const path = join(out, RUN_TUNING);
  if (tuning.active) {
    const driver = driverVersion(gpu.adapter);
    await writeRecord(path, { identity: tuningIdentity(gpu), driver, choices: tuning.used });
  } else if (!resume) await removeLeft(path);
}

/** Removes what a run left that was ended before its first checkpoint. */
async function removeLeft(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw new CheckpointError(`cannot remove ${path}: ${fileProblem(error)}`);
  }
}
