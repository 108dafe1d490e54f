/**
 * A trained model on a device: its weights, those of a second model that guides it, and the kernels chosen for both.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../gpu/device.ts";
import { ResourceScope } from "../gpu/memory.ts";
import { recordForward } from "../model/network.ts";
import { checkPrecision, defaultPrecision, type Precision, prepareMatrices } from "../model/precision.ts";
import type { Tuning, TuningProgress } from "../tuning/tuning.ts";
import { hasNullClass } from "./class_choice.ts";
import type { GeneratorOptions } from "./generator.ts";
import { checkGuide } from "./guide.ts";
import type { TrainedModel } from "./trained_model.ts";

/** Options of a model on a device. */
export interface ModelOptions {
  /** Device to use. If not given, one is opened, and closed with the model. */
  readonly gpu?: Gpu;
  /** Default: `mixed` if the adapter has matrix units, else `float32`. Images differ slightly between the two. */
  readonly precision?: Precision;
  /** Called when a damaged file was replaced by an older one, or a missing one by defaults; default `console.warn`. */
  readonly onWarning?: (message: string) => void;
  /** Called during autotuning, which runs before images are drawn at a new batch size. */
  readonly onTuning?: (progress: TuningProgress) => void;
}

/** Where a model comes from, and what belongs to its device. */
export interface ModelSource {
  /** Opens the device where none is given. */
  openGpu(): Promise<Gpu>;
  /** Reads the model. */
  read(precision: Precision, onWarning: (message: string) => void): Promise<TrainedModel>;
  /** Reads the second model that guides it, if any. */
  readGuide?(precision: Precision, onWarning: (message: string) => void): Promise<TrainedModel>;
  openTuning(gpu: Gpu, onWarning: (message: string) => void): Promise<Tuning>;
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
  /** SHA-256 of its weights. */
  readonly guideDigest: string | undefined;
  readonly #scope: ResourceScope;
  readonly #tuning: Tuning;
  readonly #options: ModelOptions;

  private constructor(
    parts: Pick<DeviceModel, "gpu" | "facts" | "network" | "guide" | "guideDigest">,
    scope: ResourceScope,
    tuning: Tuning,
    options: ModelOptions,
  ) {
    this.gpu = parts.gpu;
    this.facts = parts.facts;
    this.network = parts.network;
    this.guide = parts.guide;
    this.guideDigest = parts.guideDigest;
    this.#scope = scope;
    this.#tuning = tuning;
    this.#options = options;
  }

  /**
   * Brings a model to a device.
   *
   * @throws {ConfigError} for a precision that the adapter does not support, or a guide that does not suit the model
   * @throws {DeviceError} if there is no adapter, or the model does not fit into its memory
   */
  static async open(source: ModelSource, options: ModelOptions): Promise<DeviceModel> {
    const gpu = options.gpu ?? await source.openGpu();
    try {
      return await DeviceModel.#open(gpu, source, options);
    } catch (error) {
      if (!options.gpu) gpu.close();
      throw error;
    }
  }

  static async #open(gpu: Gpu, source: ModelSource, options: ModelOptions): Promise<DeviceModel> {
    const { onWarning = console.warn } = options;
    await prepareMatrices(gpu, options.precision, onWarning);
    const { precision = defaultPrecision(gpu.adapter) } = options;
    checkPrecision(gpu.adapter, precision);
    const { flat, ...facts } = await source.read(precision, onWarning);
    const second = await source.readGuide?.(precision, onWarning);
    if (second) checkGuide(second, facts);
    const scope = new ResourceScope(gpu, `model ${facts.name}`);
    return await scope.guard(async () => {
      const tuning = await source.openTuning(gpu, onWarning);
      const { config } = facts;
      const weights = scope.upload(flat, "weights").buffer;
      const guide = second &&
        { config: second.config, weights: scope.upload(second.flat, "weights of the guide").buffer };
      const network = { config, weights, precision, nullClass: hasNullClass(facts), guide };
      const parts = { gpu, facts, network, guide: second?.name, guideDigest: second?.digest };
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

  /** Frees the weights, and closes the device if {@linkcode DeviceModel.open} opened it. */
  destroy(): void {
    this.#scope.destroy();
    if (!this.#options.gpu) this.gpu.close();
  }
}
