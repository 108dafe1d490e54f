/**
 * Settings and options of a run on several ranks.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { Communicator } from "../mpi/communicator.ts";
import { LOG_SLOTS } from "./device/step_graph.ts";
import type { StepOptions } from "./device/step_programs.ts";
import { microRange } from "./device/summation_tree.ts";
import type { TrainOptions } from "./options.ts";
import type { SettingsOptions, TrainSettings } from "./settings.ts";

/** The ranks that share a run; undefined if there is no more than one. */
export function sharedBy({ communicator }: Pick<TrainOptions, "communicator">): Communicator | undefined {
  return communicator && communicator.size > 1 ? communicator : undefined;
}

/** True in a process that neither writes nor reports, but follows rank 0. */
export function follows({ communicator }: Pick<TrainOptions, "communicator">): boolean {
  return communicator !== undefined && communicator.rank > 0;
}

/**
 * Settings of a new run on several ranks. Where the number of micro-batches is not given, it is the power of two that has one for
 * each rank, and a batch that is not given either is cut into as many: a step still sees as many images.
 *
 * @param given settings of the caller
 */
export function settingsOnRanks(
  settings: TrainSettings,
  given: Pick<SettingsOptions, "batch" | "accumulate">,
  { size = 1 }: Partial<Communicator> = {},
): TrainSettings {
  if (size === 1 || given.accumulate !== undefined) return settings;
  const accumulate = 2 ** Math.ceil(Math.log2(size));
  const batch = given.batch === undefined ? Math.ceil(settings.batch / accumulate) : settings.batch;
  return { ...settings, batch, accumulate };
}

/** @throws {ConfigError} if there is not a micro-batch of each optimizer step for each rank */
export function checkRanks(
  { size = 1 }: Partial<Communicator> = {},
  { accumulate }: Pick<TrainSettings, "accumulate">,
): void {
  if (accumulate >= size) return;
  const allowed = `at least ${size}, a micro-batch of each optimizer step for each of the ${size} ranks`;
  throw new ConfigError("accumulate", accumulate, allowed);
}

/** Options of a rank's training step. */
export function rankOptions(
  { rank, size }: Communicator,
  microBatches: number,
): Pick<StepOptions, "microRange" | "logSlots"> {
  return { microRange: microRange(microBatches, size, rank), logSlots: LOG_SLOTS + microBatches };
}
