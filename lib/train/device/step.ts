/**
 * The programs of a training step and of a validation batch, and the buffers they work on.
 *
 * @module
 */
import { accumulate } from "../../../kernels/accumulate.ts";
import { encodeLossScale, initialLossScale } from "../../../kernels/loss_scale.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import {
  DrawLayout,
  HealthLayout,
  LogRecordLayout,
  LossScaleLayout,
  StepStateLayout,
} from "../../../kernels/records/layouts.ts";
import { encodeRecord } from "../../../kernels/records/record.ts";
import type { StepState } from "../../../kernels/records/step_state.ts";
import {
  decodeLog,
  encodeScheduleTables,
  type LoggedStep,
  type ScheduleTables,
} from "../../../kernels/records/training.ts";
import type { Gpu } from "../../gpu/device.ts";
import { type BufferView, ResourceScope } from "../../gpu/memory.ts";
import { buildProgram, type Program, runPrograms } from "../../gpu/program.ts";
import { readBack } from "../../gpu/readback.ts";
import { compileGraph } from "../../graph/compile.ts";
import { type Gradients, recordBackward } from "../../graph/gradients.ts";
import { Graph } from "../../graph/graph.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { castWeights, flatView, flatWindows } from "../../model/flat.ts";
import { bindGradients, bindParameters, createInputs, forwardPass } from "../../model/network.ts";
import { ParameterTable } from "../../model/parameters.ts";
import { unet, type UNetInputs, unetInputs } from "../../model/unet.ts";
import {
  type Batch,
  batchLaunches,
  type BatchOptions,
  lossLaunches,
  type NetworkInputs,
} from "./batch_launches.ts";
import { digestOf } from "./computation.ts";
import {
  normScratchBytes,
  optimizerLaunches,
  type OptimizerOptions,
  type WeightBuffers,
} from "./optimizer.ts";
import type { ResidentDataset } from "./resident.ts";

export type { WeightBuffers } from "./optimizer.ts";

/** What stays the same from step to step. */
export interface StepOptions extends BatchOptions, OptimizerOptions {
  /**
   * Computes most activations a second time for the backward pass instead of keeping them until then (Chen et al. 2016):
   * they take about half the memory, a step about a tenth more time, and the results have the same bits. Default false.
   */
  readonly checkpointActivations?: boolean;
  /** Kernel variants to use; default those that suit the device. */
  readonly target?: KernelTarget;
}

/** A network with dropout and its gradients, as recorded. */
export interface TrainingGraph {
  readonly g: Graph;
  readonly inputs: UNetInputs;
  readonly prediction: Tensor;
  /** Nodes of the forward pass; those after them are of the backward pass. */
  readonly forwardNodes: number;
  /** Gradient of the loss with respect to the prediction. */
  readonly seed: Tensor;
  readonly ofParameter: Gradients["ofParameter"];
}

/** Records what computes the gradients of a micro-batch. */
export function recordTraining(
  { config, batch, checkpointActivations: recompute, precision }: Pick<
    StepOptions,
    "config" | "batch" | "checkpointActivations" | "precision"
  >,
): TrainingGraph {
  const g = new Graph(precision);
  const inputs = unetInputs(g, config, batch, true);
  const prediction = unet(g, config, inputs);
  const forwardNodes = g.nodes.length;
  const seed = g.input("seed", prediction.shape);
  const { ofParameter } = recordBackward(g, prediction, seed, { recompute });
  return { g, inputs, prediction, forwardNodes, seed, ofParameter };
}

/** Records that the log buffer holds; the CPU must read it at least this often. */
export const LOG_SLOTS = 256;

/** Everything that runs on the device in training. Each call is one submit; nothing is created or read back. */
export class TrainingStep {
  /** Programs, for profiles: gradients of one micro-batch, optimizer, loss of one validation batch. */
  readonly programs: { readonly micro: Program; readonly update: Program; readonly validation: Program };
  readonly weights: WeightBuffers;
  /** Gradients of the last micro-batch, flat. */
  readonly gradients: BufferView;
  /** `LOG_SLOTS` `LogRecord` records. */
  readonly log: BufferView;
  /** One `Health` record. */
  readonly health: BufferView;
  /** One `LossScale` record; undefined in float32. */
  readonly lossScale: BufferView | undefined;
  /** Image indices of the epoch, one u32 each. */
  readonly order: BufferView;
  readonly table: ParameterTable;
  /** Digest of the kernels that change the weights. */
  readonly kernels: string;
  readonly #gpu: Gpu;
  readonly #stepState: BufferView;
  readonly #scope: ResourceScope;
  readonly #logStaging: GPUBuffer;
  readonly #encoded: ArrayBuffer = new ArrayBuffer(StepStateLayout.bytes);

  private constructor(
    gpu: Gpu,
    scope: ResourceScope,
    parts: Pick<TrainingStep, "programs" | "weights" | "gradients" | "health" | "table" | "kernels">,
    batch: Batch,
  ) {
    this.#gpu = gpu;
    this.#scope = scope;
    this.#stepState = batch.stepState;
    this.programs = parts.programs;
    this.weights = parts.weights;
    this.gradients = parts.gradients;
    this.health = parts.health;
    this.table = parts.table;
    this.kernels = parts.kernels;
    this.log = batch.log;
    this.order = batch.order;
    this.lossScale = batch.lossScale;
    this.#logStaging = scope.buffer(this.log.size, "log read-back", "staging").buffer;
  }

  /**
   * Records the network, its gradients, the loss and the optimizer.
   *
   * @throws {DeviceError} when the device cannot hold it; nothing stays allocated
   */
  static build(
    gpu: Gpu,
    options: StepOptions,
    tables: ScheduleTables,
    data: ResidentDataset,
  ): Promise<TrainingStep> {
    const what = `training at batch ${options.batch}`;
    const scope = new ResourceScope(gpu, what);
    return scope.guard(async () => {
      const { config, batch, microBatches, target, precision } = options;
      const { g, inputs, prediction, forwardNodes, seed, ofParameter } = recordTraining(options);
      const table = new ParameterTable(g.parameters);
      const flat = (name: string) => scope.buffer(4 * table.elements, name);
      const weights = {
        parameters: flat("parameters"),
        firstMoment: flat("first moment"),
        secondMoment: flat("second moment"),
        ema: flat("moving average"),
      };
      const gradients = flat("gradients");
      const bound = createInputs(scope, g);
      const half = precision === "float16";
      const copy = half ? scope.buffer(2 * table.elements, "weights in float16").buffer : undefined;
      for (const [tensor, view] of bindParameters(g, weights.parameters.buffer, copy)) {
        bound.set(tensor, view);
      }
      for (const [tensor, view] of bindGradients(g, gradients.buffer)) {
        bound.set(ofParameter.get(tensor)!, view);
      }
      const compiled = scope.own(compileGraph(gpu, g, { bound, keep: [prediction], what, target }));

      const rows = encodeScheduleTables(tables);
      const shared: Batch = {
        data,
        timesteps: tables.signal.length,
        stepState: compiled.view(inputs.stepState!),
        order: scope.buffer(4 * data.count, "order"),
        draws: scope.buffer(DrawLayout.bytes * batch, "draws"),
        schedule: scope.buffer(rows.byteLength, "schedule"),
        targets: scope.buffer(4 * prediction.elements, "targets"),
        lossPerSample: scope.buffer(4 * batch, "losses"),
        unusedLabels: scope.buffer(4 * batch, "labels"),
        log: scope.buffer(LogRecordLayout.bytes * LOG_SLOTS, "log"),
        lossScale: half ? scope.buffer(LossScaleLayout.bytes, "loss scale") : undefined,
      };
      gpu.device.queue.writeBuffer(shared.schedule.buffer, 0, rows);
      if (shared.lossScale) {
        gpu.device.queue.writeBuffer(shared.lossScale.buffer, 0, encodeLossScale(initialLossScale(options)));
      }

      const view = (tensor: Tensor) => compiled.view(tensor);
      const networkInputs: NetworkInputs = {
        x: view(inputs.x),
        timesteps: view(inputs.timesteps),
        ...(inputs.labels ? { labels: view(inputs.labels) } : {}),
      };
      const sum = microBatches > 1 ? flat("gradient sum") : gradients;
      const windows = flatWindows(table.elements, gpu.limits.maxStorageBufferBindingSize);
      const gradientLaunches = [
        ...copy ? castWeights(gpu, table.elements, weights.parameters.buffer, copy) : [],
        ...batchLaunches(options, shared, networkInputs),
        ...compiled.launches.slice(0, forwardNodes).flat(),
        ...lossLaunches(options, shared, view(prediction), view(seed)),
        ...compiled.launches.slice(forwardNodes).flat(),
        ...(microBatches > 1 ? windows : []).flatMap((window) =>
          accumulate(window.elements, {
            step_state: shared.stepState,
            gradients: flatView(gradients, window),
            sum: flatView(sum, window),
          })
        ),
      ];
      const micro = scope.own(await buildProgram(gpu, gradientLaunches));

      const health = scope.buffer(HealthLayout.bytes, "health");
      const partials = scope.buffer(normScratchBytes(windows), "norm partials");
      const { stepState, log, lossScale } = shared;
      const updateLaunches = optimizerLaunches(options, windows, {
        stepState,
        gradients: sum,
        weights,
        partials,
        health,
        log,
        lossScale,
      });
      const update = scope.own(await buildProgram(gpu, updateLaunches));

      // Validation asks the moving average, without dropout, flips or label dropout, and works where training does
      const forValidation = `validation at batch ${batch}`;
      const evaluation = scope.own(
        forwardPass(gpu, config, batch, weights.ema.buffer, forValidation, {
          spare: compiled.spare,
          target,
          precision,
          copy,
        }),
      );
      const validationLaunches = [
        ...batchLaunches({ ...options, flip: false, labelDropout: 0 }, shared, evaluation.inputs),
        ...evaluation.launches,
        ...lossLaunches(options, shared, evaluation.prediction),
      ];
      const validation = scope.own(await buildProgram(gpu, validationLaunches));
      const programs = { micro, update, validation };
      const kernels = digestOf([...gradientLaunches, ...updateLaunches]);
      return new TrainingStep(gpu, scope, { programs, weights, gradients, health, table, kernels }, shared);
    });
  }

  /** Floating-point operations of the products in the gradients of one micro-batch. */
  get flops(): number {
    return this.programs.micro.flops;
  }

  /** Computes the gradients of a micro-batch that others of the same optimizer step follow. */
  accumulate(state: StepState): void {
    this.#write(state);
    this.programs.micro.run();
  }

  /** Computes the gradients of the last micro-batch, or the only one, and takes the optimizer's step. */
  update(state: StepState): void {
    this.#write(state);
    runPrograms(this.#gpu, [this.programs.micro, this.programs.update]);
  }

  /** Computes the loss of one batch with the averaged weights. */
  validate(state: StepState): void {
    this.#write(state);
    this.programs.validation.run();
  }

  /** Waits for the device and reads the log, slot 0 first. */
  async readLog(): Promise<LoggedStep[]> {
    const [bytes] = await readBack(this.#gpu, [this.log], this.#logStaging);
    return decodeLog(bytes);
  }

  /** Puts the image indices of an epoch, or of validation, where the steps find them. */
  setOrder(order: Uint32Array<ArrayBuffer>): void {
    this.#gpu.device.queue.writeBuffer(this.order.buffer, 0, order);
  }

  /** Frees everything. */
  destroy(): void {
    this.#scope.destroy();
  }

  #write(state: StepState): void {
    this.#gpu.device.queue.writeBuffer(
      this.#stepState.buffer,
      0,
      encodeRecord(StepStateLayout, state, this.#encoded),
    );
  }
}
