/**
 * Settings of the training objective: what the network learns, and at which noise levels.
 *
 * @module
 */
import { EdmProcess } from "../diffusion/edm_process.ts";
import type { Objective } from "../diffusion/forward_process.ts";
import { FLOW_TIMES, type FlowTimes, RectifiedFlow } from "../diffusion/rectified_flow.ts";
import { NoiseSchedule } from "../diffusion/schedule.ts";
import type { TrainedProcess } from "../diffusion/trained_process.ts";
import { ConfigError } from "../errors.ts";
import type { SettingTable } from "./setting.ts";

/** Settings of the training objective. */
export interface ObjectiveSettings {
  /** Target of the network: the noise, `v`, the image, or that of rectified flow or EDM. */
  readonly objective: Objective;
  /** Distribution of `t` in training with objective `flow`. */
  readonly flowTimes: FlowTimes;
}

/** Table of the settings of the training objective. */
export const OBJECTIVE_SETTINGS: SettingTable<Partial<ObjectiveSettings>> = {
  objective: {
    kind: "choice",
    choices: ["epsilon", "v", "x0", "flow", "edm"],
    default: "epsilon",
    valueName: "NAME",
    help: "target of the network: the noise, v, the image, rectified flow's direction, or EDM's",
  },
  flowTimes: {
    kind: "choice",
    choices: FLOW_TIMES,
    default: "uniform",
    valueName: "NAME",
    help: "distribution of t in training with objective flow",
  },
};

/**
 * Checks that the settings of the objective go together.
 * @throws {ConfigError} naming the first that does not, and why
 */
export function checkObjective({ objective, flowTimes }: ObjectiveSettings): void {
  if (objective !== "flow" && flowTimes !== "uniform") {
    throw new ConfigError("flowTimes", flowTimes, `uniform with objective ${objective}: only flow draws t`);
  }
}

/** Forward process of a run. */
export function processOf({ objective, flowTimes }: ObjectiveSettings): TrainedProcess {
  switch (objective) {
    case "flow":
      return new RectifiedFlow({ times: flowTimes });
    case "edm":
      return new EdmProcess();
    default:
      return new NoiseSchedule({ objective });
  }
}

/** Names of the objectives in runs stored as `prediction`, by diffusers' names. */
const STORED_PREDICTIONS: Readonly<Record<string, Objective>> = {
  epsilon: "epsilon",
  v_prediction: "v",
  sample: "x0",
};

/** Settings of a stored run, which an earlier version may have written with `prediction` in place of `objective`. */
export function withObjective<T extends ObjectiveSettings>(
  stored: T & { readonly prediction?: string },
): T {
  const { prediction, ...settings } = stored;
  if (prediction === undefined) return stored;
  return { ...settings, objective: STORED_PREDICTIONS[prediction] ?? prediction } as unknown as T;
}
