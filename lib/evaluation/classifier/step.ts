/**
 * Training step of the classifier on the device: batch, network, cross-entropy, gradients, AdamW and moving average.
 *
 * @module
 */
import { HealthLayout, LogRecordLayout, StepStateLayout } from "../../../kernels/records/layouts.ts";
import { encodeRecord } from "../../../kernels/records/record.ts";
import type { StepState } from "../../../kernels/records/step_state.ts";
import { decodeLog, type LoggedStep } from "../../../kernels/records/training.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import type { Gpu } from "../../gpu/device.ts";
import { type BufferView, ResourceScope } from "../../gpu/memory.ts";
import { buildProgram, type Program } from "../../gpu/program.ts";
import { readBack } from "../../gpu/readback.ts";
import { augment, crossEntropy } from "../../graph/classifier_ops.ts";
import { compileGraph } from "../../graph/compile.ts";
import { recordBackward } from "../../graph/gradients.ts";
import { Graph } from "../../graph/graph.ts";
import type { ElementType, Tensor } from "../../graph/tensor.ts";
import { recordLoss } from "../../graph/training_ops.ts";
import { flatWindows } from "../../model/flat.ts";
import { bindGradients, bindParameters } from "../../model/network.ts";
import { ParameterTable } from "../../model/parameters.ts";
import {
  createWeightBuffers,
  normScratchBytes,
  optimizerLaunches,
  type OptimizerOptions,
  type WeightBuffers,
} from "../../train/device/optimizer.ts";
import type { DeviceImages } from "../../train/device/device_images.ts";
import { LOG_SLOTS } from "../../train/device/step_graph.ts";
import type { ClassifierConfig } from "./config.ts";
import { classifierNetwork } from "./network.ts";

/** Constants of a training step. */
export interface ClassifierStepOptions extends OptimizerOptions {
  readonly config: ClassifierConfig;
  /** Images per step. */
  readonly batch: number;
  /** Largest shift of the random crops, pixels. */
  readonly shift: number;
  /** Mirror each image with probability 1/2. */
  readonly flip: boolean;
  /** Label smoothing, 0 to 1. */
  readonly smoothing: number;
}

/** Recorded training step. */
export interface ClassifierGraph {
  readonly g: Graph;
  readonly stepState: Tensor;
  readonly order: Tensor;
  readonly images: readonly Tensor[];
  readonly imageLabels: Tensor;
  readonly log: Tensor;
  /** Gradient of each parameter. */
  readonly gradients: ReadonlyMap<Tensor, Tensor>;
}

/**
 * Records the gradients of a batch.
 *
 * @param chunks images in each chunk of the data set
 */
export function recordClassifierStep(
  { config, batch, shift, flip, smoothing }: Omit<ClassifierStepOptions, keyof OptimizerOptions>,
  chunks: readonly number[],
): ClassifierGraph {
  const g = new Graph();
  const vector = (name: string, length: number, type: ElementType) => g.input(name, [1, 1, 1, length], type);
  const { imageSize } = config;
  const count = chunks.reduce((sum, images) => sum + images, 0);
  const inputs = {
    stepState: vector("step state", 1, StepStateLayout),
    order: vector("order", count, "uint32"),
    images: chunks.map((images, i) => vector(`images, chunk ${i}`, images * imageSize ** 2 * 3, "uint8")),
    imageLabels: vector("image labels", count, "uint8"),
  };
  const log = vector("log", LOG_SLOTS, LogRecordLayout);
  const { stepState } = inputs;
  const { x, labels } = augment(g, inputs, batch, [imageSize, imageSize, 3], { shift, flip });
  const { logits } = classifierNetwork(g, config, x);
  const loss = crossEntropy(g, { stepState, logits, labels }, { smoothing, gradientScale: 1 });
  recordLoss(g, { stepState, loss }, log);
  const { ofParameter: gradients } = recordBackward(g, loss);
  return { g, ...inputs, log, gradients };
}

/** Device programs of a training step. A call is one submit; nothing is created or read back. */
export class ClassifierStep {
  readonly weights: WeightBuffers;
  readonly table: ParameterTable;
  readonly #gpu: Gpu;
  readonly #scope: ResourceScope;
  readonly #program: Program;
  readonly #buffers: { readonly stepState: BufferView; readonly log: BufferView };

  private constructor(
    gpu: Gpu,
    scope: ResourceScope,
    parts: { weights: WeightBuffers; table: ParameterTable; program: Program },
    buffers: { stepState: BufferView; log: BufferView },
  ) {
    this.#gpu = gpu;
    this.#scope = scope;
    this.weights = parts.weights;
    this.table = parts.table;
    this.#program = parts.program;
    this.#buffers = buffers;
  }

  /**
   * Compiles a step.
   *
   * @throws {DeviceError} if there is too little device memory; nothing stays allocated
   */
  static build(
    gpu: Gpu,
    options: ClassifierStepOptions,
    data: DeviceImages,
    target?: KernelTarget,
  ): Promise<ClassifierStep> {
    const what = `training a classifier at batch ${options.batch}`;
    const scope = new ResourceScope(gpu, what);
    return scope.guard(async () => {
      const recorded = recordClassifierStep(options, data.chunks.map(({ count }) => count));
      const { g } = recorded;
      const buffers = {
        stepState: scope.buffer(StepStateLayout.bytes, "step state"),
        log: scope.buffer(LogRecordLayout.bytes * LOG_SLOTS, "log"),
      };
      const table = new ParameterTable(g.parameters);
      const gradients = scope.buffer(4 * table.elements, "gradients");
      const weights = createWeightBuffers(scope, table.elements);
      const bound = new Map<Tensor, BufferView>([
        [recorded.stepState, buffers.stepState],
        [recorded.order, data.order],
        [recorded.log, buffers.log],
        [recorded.imageLabels, data.labels],
        ...recorded.images.map((chunk, i): [Tensor, BufferView] => [chunk, data.chunks[i]!.images]), // as many
        ...bindParameters(g, weights.parameters.buffer),
        ...[...bindGradients(g, gradients.buffer)].map(([of, view]): [Tensor, BufferView] => [
          recorded.gradients.get(of)!,
          view,
        ]),
      ]);
      const compiled = scope.own(compileGraph(gpu, g, { bound, what, target }));
      const windows = flatWindows(table.elements, gpu.limits.maxStorageBufferBindingSize);
      const update = optimizerLaunches(options, windows, {
        ...buffers,
        profileRates: undefined,
        gradients,
        weights,
        partials: scope.buffer(normScratchBytes(windows), "norm partials"),
        health: scope.buffer(HealthLayout.bytes, "health"),
        lossScale: undefined,
      });
      const program = scope.own(await buildProgram(gpu, [...compiled.launches.flat(), ...update]));
      return new ClassifierStep(gpu, scope, { weights, table, program }, buffers);
    });
  }

  /** Floating-point operations of the products in a step. */
  get flops(): number {
    return this.#program.flops;
  }

  /** Submits one optimizer step. */
  update(state: StepState): void {
    this.#gpu.device.queue.writeBuffer(
      this.#buffers.stepState.buffer,
      this.#buffers.stepState.offset,
      encodeRecord(StepStateLayout, state),
    );
    this.#program.run();
  }

  /** Waits for the device and reads the log, slot 0 first. */
  async readLog(): Promise<LoggedStep[]> {
    const [bytes] = await readBack(this.#gpu, [this.#buffers.log]);
    return decodeLog(bytes!); // one per view
  }

  /** Frees everything. */
  destroy(): void {
    this.#scope.destroy();
  }
}
