/**
 * Precision of a run: what its device supports, and changes on resume.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import {
  checkPrecision,
  type Precision,
  type PrecisionAdapter,
  precisionProblem,
  REMOVED_PRECISIONS,
} from "../model/precision.ts";
import { checkOverflow } from "./device/overflow.ts";
import type { SettingsOptions, TrainSettings } from "./settings.ts";

/**
 * Checks that a device can train in a precision.
 * @throws {ConfigError} if it cannot
 */
export async function checkTrainingPrecision(gpu: Gpu, precision: Precision): Promise<void> {
  checkPrecision(gpu.adapter, precision);
  if (precision === "mixed") await checkOverflow(gpu);
}

/**
 * Checks that an adapter supports the precision of a stored run, which may have been started on another one.
 *
 * @param stored settings of the run, and its precision as stored, perhaps a removed one
 * @param given settings given on resume
 * @throws {CheckpointError} saying how to resume the run, if only its stored precision is unsupported
 * @throws {ConfigError} if the given precision is unsupported
 */
export function checkResumedPrecision(
  out: string,
  adapter: PrecisionAdapter,
  { settings: { precision }, storedPrecision }: {
    readonly settings: Pick<TrainSettings, "precision">;
    readonly storedPrecision: string;
  },
  given: Pick<SettingsOptions, "precision">,
): void {
  if (given.precision !== undefined) return checkPrecision(adapter, given.precision);
  const problem = precisionProblem(adapter, precision);
  if (problem === undefined) return;
  const removed = Object.hasOwn(REMOVED_PRECISIONS, storedPrecision);
  const [is, stays] = removed
    ? [`in ${storedPrecision}, which continues in mixed precision`, "continues"]
    : ["in mixed precision", "stays"];
  throw new CheckpointError(
    `${out}: this run is ${is}, but ${problem}: resume it on a GPU with matrix units and backend dawn, or with ` +
      `\`precision: "float32"\` (weights and losses will then differ from those of a run that ${stays} in mixed precision)`,
  );
}

/**
 * Warning for a run resumed in another precision; undefined if it is the same.
 * @param before as stored, perhaps a removed one
 */
export function describePrecisionChange(before: string, now: Precision): string | undefined {
  if (before === now) return undefined;
  if (before in REMOVED_PRECISIONS && now === "mixed") {
    return `this run was in ${before} so far and continues in mixed precision, whose kernels round differently: ` +
      "it may not be bit-identical to one that was never interrupted";
  }
  return `\`precision\` changes from ${before} to ${now}: weights and losses will differ from those of a run that keeps ` +
    `${before}`;
}
