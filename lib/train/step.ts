/**
 * The programs of a training step and of a validation batch, and the buffers they work on.
 *
 * @module
 */
import { accumulate } from "../../kernels/accumulate.ts";
import { adamw } from "../../kernels/adamw.ts";
import { drawBatch } from "../../kernels/draw_batch.ts";
import { gradNormFinish, gradNormPartials, gradNormScratchBytes } from "../../kernels/grad_norm.ts";
import { mse, recordLoss } from "../../kernels/mse.ts";
import { qSample } from "../../kernels/q_sample.ts";
import type { Launch } from "../../kernels/source.ts";
import { encodeStepState, STEP_STATE_BYTES, type StepState } from "../../kernels/step_state.ts";
import {
  decodeLog,
  DRAW_BYTES,
  encodeScheduleTables,
  HEALTH_BYTES,
  LOG_RECORD_BYTES,
  type LogRecord,
  type ScheduleTables,
} from "../../kernels/training.ts";
import type { Gpu } from "../gpu/device.ts";
import { type BufferView, ResourceScope } from "../gpu/memory.ts";
import { buildProgram, type Program, runPrograms } from "../gpu/program.ts";
import { readBack } from "../gpu/readback.ts";
import { compileGraph } from "../graph/compile.ts";
import { recordBackward } from "../graph/gradients.ts";
import { Graph } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { classCount, imageSize, type UNetConfig } from "../model/config.ts";
import { bindParameters, createInputs, forwardPass } from "../model/network.ts";
import { ParameterTable } from "../model/parameters.ts";
import { unet, unetInputs } from "../model/unet.ts";
import type { ResidentDataset } from "./resident.ts";

/** What stays the same from step to step. */
export interface StepOptions {
  readonly config: UNetConfig;
  /** Images in one micro-batch. */
  readonly batch: number;
  /** Micro-batches to one optimizer step. */
  readonly microBatches: number;
  /** Probability of training a sample without its class. */
  readonly labelDropout: number;
  /** Mirror images with probability 1/2. */
  readonly flip: boolean;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Largest global gradient norm; 0 for no clipping. */
  readonly clip: number;
  /** Whether one bad step stops all later updates (true) or is skipped alone (false). */
  readonly stopAtNonFinite: boolean;
  /**
   * Computes most activations a second time for the backward pass instead of keeping them until then (Chen et al. 2016):
   * they take about half the memory, a step about a tenth more time, and the results have the same bits. Default false.
   */
  readonly checkpointActivations?: boolean;
}

/** Flat buffers of all parameters, each laid out by {@linkcode ParameterTable}. */
export interface WeightBuffers {
  readonly parameters: BufferView;
  readonly firstMoment: BufferView;
  readonly secondMoment: BufferView;
  readonly ema: BufferView;
}

/** Records that the log buffer holds; the CPU must read it at least this often. */
export const LOG_SLOTS = 256;

/** What the batch kernels write and the loss reads. */
interface Batch {
  readonly data: ResidentDataset;
  readonly timesteps: number;
  readonly stepState: BufferView;
  readonly order: BufferView;
  readonly draws: BufferView;
  readonly schedule: BufferView;
  readonly targets: BufferView;
  readonly lossPerSample: BufferView;
  /** Labels of a network that takes none; the kernel writes them all the same. */
  readonly unusedLabels: BufferView;
  readonly log: BufferView;
}

interface NetworkInputs {
  readonly x: BufferView;
  readonly timesteps: BufferView;
  readonly labels?: BufferView;
}

/** Everything that runs on the device in training. Each call is one submit; nothing is created or read back. */
export class TrainingStep {
  /** Programs, for profiles: gradients of one micro-batch, optimizer, loss of one validation batch. */
  readonly programs: { readonly micro: Program; readonly update: Program; readonly validation: Program };
  readonly weights: WeightBuffers;
  /** Gradients of the last micro-batch, flat. */
  readonly gradients: BufferView;
  /** `LOG_SLOTS` records of {@linkcode LogRecord}. */
  readonly log: BufferView;
  /** One record of {@linkcode Health}. */
  readonly health: BufferView;
  /** Image indices of the epoch, one u32 each. */
  readonly order: BufferView;
  readonly table: ParameterTable;
  readonly #gpu: Gpu;
  readonly #stepState: BufferView;
  readonly #scope: ResourceScope;
  readonly #logStaging: GPUBuffer;
  readonly #encoded: ArrayBuffer = new ArrayBuffer(STEP_STATE_BYTES);

  private constructor(
    gpu: Gpu,
    scope: ResourceScope,
    parts: Pick<TrainingStep, "programs" | "weights" | "gradients" | "health" | "table">,
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
    this.log = batch.log;
    this.order = batch.order;
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
      const { config, batch, microBatches, checkpointActivations: recompute } = options;

      // The network with dropout and its gradients
      const g = new Graph();
      const inputs = unetInputs(g, config, batch, true);
      const prediction = unet(g, config, inputs);
      const forwardNodes = g.nodes.length;
      const seed = g.input("seed", prediction.shape);
      const { ofParameter } = recordBackward(g, prediction, seed, { recompute });
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
      const parameterViews = bindParameters(g, weights.parameters.buffer);
      for (const [tensor, view] of parameterViews) {
        bound.set(tensor, view);
        bound.set(ofParameter.get(tensor)!, { ...view, buffer: gradients.buffer });
      }
      const compiled = scope.own(compileGraph(gpu, g, { bound, keep: [prediction], what }));

      const rows = encodeScheduleTables(tables);
      const shared: Batch = {
        data,
        timesteps: tables.signal.length,
        stepState: compiled.view(inputs.stepState!),
        order: scope.buffer(4 * data.count, "order"),
        draws: scope.buffer(DRAW_BYTES * batch, "draws"),
        schedule: scope.buffer(rows.byteLength, "schedule"),
        targets: scope.buffer(4 * prediction.elements, "targets"),
        lossPerSample: scope.buffer(4 * batch, "losses"),
        unusedLabels: scope.buffer(4 * batch, "labels"),
        log: scope.buffer(LOG_RECORD_BYTES * LOG_SLOTS, "log"),
      };
      gpu.device.queue.writeBuffer(shared.schedule.buffer, 0, rows);

      const view = (tensor: Tensor) => compiled.view(tensor);
      const networkInputs: NetworkInputs = {
        x: view(inputs.x),
        timesteps: view(inputs.timesteps),
        ...(inputs.labels ? { labels: view(inputs.labels) } : {}),
      };
      const sum = microBatches > 1 ? flat("gradient sum") : gradients;
      const windows = flatWindows(table.elements, gpu.limits.maxStorageBufferBindingSize);
      const micro = await buildProgram(gpu, [
        ...batchLaunches(options, shared, networkInputs),
        ...compiled.launches.slice(0, forwardNodes).flat(),
        ...lossLaunches(options, shared, view(prediction), view(seed)),
        ...compiled.launches.slice(forwardNodes).flat(),
        ...(microBatches > 1 ? windows : []).flatMap(({ first, elements }) =>
          accumulate(elements, {
            step_state: shared.stepState,
            gradients: flatView(gradients, first, elements),
            sum: flatView(sum, first, elements),
          })
        ),
      ]);
      scope.own(micro);

      const health = scope.buffer(HEALTH_BYTES, "health");
      const partials = scope.buffer(
        windows.reduce((bytes, { elements }) => bytes + gradNormScratchBytes(elements), 0),
        "norm partials",
      );
      const { beta1, beta2, eps, weightDecay } = options;
      const update = await buildProgram(gpu, [
        ...windows.flatMap(({ first, elements, partialsOffset }) =>
          gradNormPartials(elements, {
            gradients: flatView(sum, first, elements),
            partials: { ...partials, offset: partialsOffset, size: gradNormScratchBytes(elements) },
          })
        ),
        ...gradNormFinish({ maxNorm: options.clip, sticky: options.stopAtNonFinite }, partials.size, {
          step_state: shared.stepState,
          partials,
          health,
          train_log: shared.log,
        }),
        ...windows.flatMap(({ first, elements }) =>
          adamw({ elements, beta1, beta2, eps, weightDecay }, {
            step_state: shared.stepState,
            health,
            gradients: flatView(sum, first, elements),
            parameters: flatView(weights.parameters, first, elements),
            first_moment: flatView(weights.firstMoment, first, elements),
            second_moment: flatView(weights.secondMoment, first, elements),
            ema: flatView(weights.ema, first, elements),
          })
        ),
      ]);
      scope.own(update);

      // Validation asks the moving average, without dropout, flips or label dropout, and works where training does
      const forValidation = `validation at batch ${batch}`;
      const evaluation = scope.own(
        forwardPass(gpu, config, batch, weights.ema.buffer, forValidation, compiled.spare),
      );
      const validation = await buildProgram(gpu, [
        ...batchLaunches({ ...options, flip: false, labelDropout: 0 }, shared, evaluation.inputs),
        ...evaluation.launches,
        ...lossLaunches(options, shared, evaluation.prediction),
      ]);
      scope.own(validation);
      const programs = { micro, update, validation };
      return new TrainingStep(gpu, scope, { programs, weights, gradients, health, table }, shared);
    });
  }

  /** Floating-point operations of the products in the gradients of one micro-batch. */
  get flops(): number {
    return this.programs.micro.flops;
  }

  /** Computes the gradients of one micro-batch and, if `update`, takes the optimizer's step. */
  step(state: StepState, update: boolean): void {
    this.#write(state);
    runPrograms(this.#gpu, update ? [this.programs.micro, this.programs.update] : [this.programs.micro]);
  }

  /** Computes the loss of one batch with the averaged weights. */
  validate(state: StepState): void {
    this.#write(state);
    this.programs.validation.run();
  }

  /** Waits for the device and reads the log, slot 0 first. */
  async readLog(): Promise<LogRecord[]> {
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
    this.#gpu.device.queue.writeBuffer(this.#stepState.buffer, 0, encodeStepState(state, this.#encoded));
  }
}

/** A part of every flat buffer that can be bound at once. */
interface FlatWindow {
  readonly first: number;
  readonly elements: number;
  /** Byte offset of its partial sums of the norm. */
  readonly partialsOffset: number;
}

/** Cuts flat buffers into windows of at most `limit` bytes: 128 MiB on some adapters, less than 35 M parameters take. */
function flatWindows(total: number, limit: number): FlatWindow[] {
  const largest = 64 * Math.floor(limit / (4 * 64));
  const windows: FlatWindow[] = [];
  let partialsOffset = 0;
  for (let first = 0; first < total; first += largest) {
    const elements = Math.min(largest, total - first);
    windows.push({ first, elements, partialsOffset });
    partialsOffset += gradNormScratchBytes(elements);
  }
  return windows;
}

function flatView({ buffer }: BufferView, first: number, elements: number): BufferView {
  return { buffer, offset: 4 * first, size: 4 * elements };
}

/** Draws and noises a batch. */
function batchLaunches(options: StepOptions, shared: Batch, inputs: NetworkInputs): Launch<BufferView>[] {
  const { config, batch, labelDropout, flip } = options;
  const [height, width] = imageSize(config);
  const { stepState: step_state, order, draws, schedule, targets, data } = shared;
  const label = inputs.labels ?? shared.unusedLabels;
  return [
    ...drawBatch({ batch, timesteps: shared.timesteps, classes: classCount(config), labelDropout, flip }, {
      step_state,
      order,
      labels: data.labels,
      draws,
      timestep: inputs.timesteps,
      label,
    }),
    ...data.chunks.flatMap(({ first, count, images }) =>
      qSample({ batch, height, width, channels: config.inChannels, chunkFirst: first, chunkCount: count }, {
        step_state,
        images,
        draws,
        schedule,
        x_t: inputs.x,
        targets,
      })
    ),
  ];
}

/** The loss, its record, and its gradient where a buffer for it is given. */
function lossLaunches(
  options: StepOptions,
  shared: Batch,
  prediction: BufferView,
  gradient?: BufferView,
): Launch<BufferView>[] {
  const { config, batch, microBatches } = options;
  const [height, width] = imageSize(config);
  const { stepState: step_state, draws, schedule, targets, lossPerSample: loss_per_sample, log: train_log } =
    shared;
  const shape = {
    batch,
    pixels: height * width,
    channels: config.outChannels,
    gradientScale: 1 / microBatches,
  };
  return [
    ...mse(shape, { step_state, draws, schedule, prediction, targets, loss_per_sample, gradient }),
    ...recordLoss(batch, { step_state, loss_per_sample, train_log }),
  ];
}
