/**
 * Reads the model that a run starts from.
 *
 * @module
 */
import { EdmProcess } from "../diffusion/edm_process.ts";
import type { TrainedProcess } from "../diffusion/trained_process.ts";
import { ConfigError } from "../errors.ts";
import { unetParameters } from "../model/network.ts";
import { resolveShipped } from "../remote/shipped_models.ts";
import { readModel } from "../sampling/read_model.ts";
import type { InitialModel } from "./initial_model.ts";
import { processSettingsOf } from "./objective_settings.ts";

/**
 * Reads a model to start from: a run directory, a diffusers pipeline directory, the directory of a single network, a weight file, or
 * one of the project's own models by name.
 *
 * @throws {CheckpointError} naming the file, and the tensor if one is affected
 * @throws {ConfigError} for an unsupported network or schedule, or another preconditioning than that of training
 */
export async function readInitialModel(
  directory: string,
  onWarning: (message: string) => void,
): Promise<InitialModel> {
  const { path, config, schedule, classes, flat } = await readModel(
    await resolveShipped(directory),
    "float32",
    {
      onWarning,
    },
  );
  checkPreconditioning(path, schedule);
  const tensors = unetParameters(config, "float32").fromMemory(flat);
  return { path, config, process: processSettingsOf(schedule), classes, tensors };
}

/** Checks that the network would be given the same inputs as before: EDM scales them by the deviation of its data. */
function checkPreconditioning(path: string, process: TrainedProcess): void {
  const { sigmaData } = new EdmProcess();
  if (!(process instanceof EdmProcess) || process.sigmaData === sigmaData) return;
  const allowed =
    `a model of EDM with sigma_data ${sigmaData}, as runs have, not ${process.sigmaData}, which scales its inputs otherwise`;
  throw new ConfigError("init", path, allowed);
}
