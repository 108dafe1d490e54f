/**
 * Forward processes of trained models, and diffusers' `scheduler_config.json` of each.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { withSuggestion } from "../suggest.ts";
import {
  EDM_SCHEDULERS,
  edmFromDiffusers,
  edmToDiffusers,
  FLOW_SCHEDULERS,
  flowFromDiffusers,
  flowToDiffusers,
} from "./diffusers_continuous.ts";
import { BETA_SCHEDULERS } from "./diffusers_schedule.ts";
import { EdmProcess } from "./edm_process.ts";
import { RectifiedFlow } from "./rectified_flow.ts";
import { NoiseSchedule } from "./schedule.ts";

/** A forward process that a model can be trained with. */
export type TrainedProcess = NoiseSchedule | RectifiedFlow | EdmProcess;

/**
 * The process that a diffusers `scheduler_config.json` describes.
 *
 * @param json the parsed file
 * @param onNote told what the file says that is ignored
 * @throws {ConfigError} naming the field that is unsupported or out of its range
 */
export function processFromDiffusers(
  json: unknown,
  onNote: (note: string) => void = () => {},
): TrainedProcess {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ConfigError("scheduler_config", json, "a JSON object");
  }
  const source = json as Readonly<Record<string, unknown>>;
  const className = source._class_name;
  if (FLOW_SCHEDULERS.includes(className as string)) return flowFromDiffusers(source, onNote);
  if (EDM_SCHEDULERS.includes(className as string)) return edmFromDiffusers(source, onNote);
  if (className !== undefined && !BETA_SCHEDULERS.includes(className as string)) {
    const all = [...BETA_SCHEDULERS, ...FLOW_SCHEDULERS, ...EDM_SCHEDULERS];
    throw new ConfigError(
      "_class_name",
      className,
      withSuggestion(`one of ${all.join(", ")}`, String(className), all),
    );
  }
  return NoiseSchedule.fromDiffusers(source, onNote);
}

/** The content of a `scheduler_config.json` that diffusers loads; `_class_name` is its scheduler. */
export function processToDiffusers(process: TrainedProcess): Record<string, unknown> {
  if (process instanceof RectifiedFlow) return flowToDiffusers(process);
  if (process instanceof EdmProcess) return edmToDiffusers(process);
  return process.toDiffusers();
}
