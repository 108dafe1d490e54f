/**
 * A trained model on a device: its weights, those of a second model that guides it, and the kernels chosen for both.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import type { KernelTarget } from "../../kernels/target.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { ResourceScope } from "../gpu/memory.ts";
import { recordForward } from "../model/network.ts";
import { checkPrecision, defaultPrecision, type Precision, prepareMatrices } from "../model/precision.ts";
import { Tuning, type TuningOptions, type TuningProgress } from "../tuning/tuning.ts";
import { hasNullClass } from "./class_choice.ts";
import type { GeneratorOptions } from "./generator.ts";
import { readGuide } from "./guide.ts";
import { readModel, type TrainedModel } from "./trained_model.ts";

/** Options of {@linkcode DDPM.load}; `tune` defaults to `off` if there is no `tuningDirectory`. */
export interface LoadModelOptions extends TuningOptions {
  /** Device to use. If not given, one is opened, and closed by {@linkcode DDPM.close}. */
  readonly gpu?: Gpu;
  /**
   * A second, weaker model for autoguidance (Karras et al. 2024), such as an early checkpoint of a smaller network: guidance
   * then leads away from its outputs. It must have the same forward process, objective, size of images and classes.
   */
  readonly guide?: string;
  /** Default: `mixed` if the adapter has matrix units, else `float32`. Images differ slightly between the two. */
  readonly precision?: Precision;
  /** Variant of the weights, such as `fp16` or `non_ema`; by default those without a variant, else the most precise. */
  readonly variant?: string;
  /** Called when a damaged file was replaced by an older one, or a missing one by defaults; default `console.warn`. */
  readonly onWarning?: (message: string) => void;
  /** Called during autotuning, which runs before images are drawn at a new batch size. */
  readonly onTuning?: (progress: TuningProgress) => void;
}

/** A network and its weights, as all batches of a model take them. */
export type LoadedNetwork =
  & Pick<GeneratorOptions, "config" | "weights" | "nullClass" | "guide">
  & Required<Pick<GeneratorOptions, "precision">>;

/** A loaded model. */
export class DeviceModel {
  readonly gpu: Gpu;
  /** The model's files, without the weights. */
  readonly facts: Omit<TrainedModel, "flat">;
  readonly network: LoadedNetwork;
  /** Name of the model that guides this one; undefined without autoguidance. */
  readonly guide: string | undefined;
  readonly #scope: ResourceScope;
  readonly #tuning: Tuning;
  readonly #options: LoadModelOptions;

  private constructor(
    parts: Pick<DeviceModel, "gpu" | "facts" | "network" | "guide">,
    scope: ResourceScope,
    tuning: Tuning,
    options: LoadModelOptions,
  ) {
    this.gpu = parts.gpu;
    this.facts = parts.facts;
    this.network = parts.network;
    this.guide = parts.guide;
    this.#scope = scope;
    this.#tuning = tuning;
    this.#options = options;
  }

  /** Loads a model; see {@linkcode DDPM.load}. */
  static async load(directory: string, options: LoadModelOptions): Promise<DeviceModel> {
    const gpu = options.gpu ?? await openGpu();
    try {
      return await DeviceModel.#load(gpu, directory, options);
    } catch (error) {
      if (!options.gpu) gpu.close();
      throw error;
    }
  }

  static async #load(gpu: Gpu, directory: string, options: LoadModelOptions): Promise<DeviceModel> {
    const { tuningDirectory, tune = tuningDirectory === undefined ? "off" : "auto" } = options;
    const { onWarning = console.warn } = options;
    await prepareMatrices(gpu, options.precision, onWarning);
    const { precision = defaultPrecision(gpu.adapter) } = options;
    checkPrecision(gpu.adapter, precision);
    const { flat, ...facts } = await readModel(directory, precision, options);
    const second = options.guide === undefined
      ? undefined
      : await readGuide(options.guide, facts, precision, onWarning);
    const scope = new ResourceScope(gpu, `model ${basename(resolve(facts.path))}`);
    return await scope.guard(async () => {
      const tuning = await Tuning.open(gpu, { tune, tuningDirectory }, onWarning);
      const { config } = facts;
      const weights = scope.upload(flat, "weights").buffer;
      const guide = second &&
        { config: second.config, weights: scope.upload(second.flat, "weights of the guide").buffer };
      const network = { config, weights, precision, nullClass: hasNullClass(facts), guide };
      const parts = { gpu, facts, network, guide: second && basename(resolve(second.path)) };
      return new DeviceModel(parts, scope, tuning, options);
    });
  }

  /**
   * Kernel variants for batches of some sizes, autotuned if enabled.
   *
   * @param passes network passes expected of each
   */
  async kernelsFor(rows: readonly number[], passes = 1): Promise<KernelTarget> {
    const { config, precision, guide } = this.network;
    const configs = [config, ...guide ? [guide.config] : []];
    const graphs = () =>
      configs.flatMap((config) => rows.map((rows) => recordForward(config, rows, precision).g));
    const runs = configs.flatMap(() => rows.map(() => passes));
    return await this.#tuning.tuned(graphs, this.#options.onTuning, { runs });
  }

  /** Frees the weights, and closes the device if {@linkcode DeviceModel.load} opened it. */
  destroy(): void {
    this.#scope.destroy();
    if (!this.#options.gpu) this.gpu.close();
  }
}
