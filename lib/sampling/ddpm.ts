/**
 * Trained models from disk.
 *
 * @module
 */
import { DiffusionModel } from "./diffusion_model.ts";
import { loadDeviceModel, type LoadModelOptions } from "./load_model.ts";

/** A trained denoising diffusion model on a device. */
export class DDPM extends DiffusionModel {
  /**
   * Loads a run directory of {@linkcode train}, a diffusers pipeline directory, a directory with a single network, or a weight
   * file (safetensors, or a PyTorch checkpoint) with its `config.json` beside it.
   *
   * @throws {CheckpointError} naming the file, and the tensor if one is affected
   * @throws {ConfigError} for an unsupported network or schedule, a variant that is not there, or a precision that the adapter does not support
   * @throws {DeviceError} if there is no adapter, or the model does not fit into its memory
   */
  static async load(directory: string, options: LoadModelOptions = {}): Promise<DDPM> {
    return new DDPM(await loadDeviceModel(directory, options));
  }
}
