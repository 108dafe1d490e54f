/**
 * Trained models from disk.
 *
 * @module
 */
import { resolveShipped } from "../remote/shipped_models.ts";
import { DiffusionModel } from "./diffusion_model.ts";
import { loadDeviceModel, type LoadModelOptions } from "./load_model.ts";

/** A trained denoising diffusion model on a device. */
export class DDPM extends DiffusionModel {
  /**
   * Loads a run directory of {@linkcode train}, a diffusers pipeline directory, a directory with a single network, or a weight
   * file (safetensors, or a PyTorch checkpoint) with its `config.json` beside it. `cifar10` and `cifar10-tiny`, where there are
   * no such paths, are the project's own models: in a clone its `checkpoints/`; otherwise in the directory, or at the URL, that the
   * environment variable `DENOISE_MODELS` names, checked by their digests, and of a URL kept in `.cache/models/`.
   *
   * @throws {CheckpointError} naming the file, and the tensor if one is affected
   * @throws {ConfigError} for an unsupported network or schedule, a variant that is not there, or a precision that the adapter does not support
   * @throws {DeviceError} if there is no adapter, or the model does not fit into its memory
   */
  static async load(directory: string, options: LoadModelOptions = {}): Promise<DDPM> {
    const path = await resolveShipped(directory);
    const guide = options.guide && await resolveShipped(options.guide);
    return new DDPM(await loadDeviceModel(path, { ...options, ...guide && { guide } }));
  }
}
