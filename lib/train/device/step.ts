/**
 * Programs of a training step (Ho et al. 2020, algorithm 1, lines 2 to 5) and of a validation batch, and their buffers.
 *
 * @module
 */
import { accumulate } from "../../../kernels/accumulate.ts";
import { encodeLossScale, initialLossScale } from "../../../kernels/loss_scale.ts";
import { HealthLayout, LogRecordLayout, StepStateLayout } from "../../../kernels/records/layouts.ts";
import { encodeRecord } from "../../../kernels/records/record.ts";
import type { StepState } from "../../../kernels/records/step_state.ts";
import {
  decodeLog,
  encodeScheduleTables,
  encodeVarianceRows,
  type LoggedStep,
  type ScheduleTables,
  type VarianceRow,
} from "../../../kernels/records/training.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import type { Gpu } from "../../gpu/device.ts";
import { type BufferView, ResourceScope } from "../../gpu/memory.ts";
import { precompile } from "../../gpu/precompile.ts";
import { buildProgram, type Program, runPrograms } from "../../gpu/program.ts";
import { readBack } from "../../gpu/readback.ts";
import { compileGraph } from "../../graph/compile.ts";
import { Graph } from "../../graph/graph.ts";
import { castWeights, flatView, flatWindows } from "../../model/flat.ts";
import { bindGradients, bindParameters } from "../../model/network.ts";
import { ParameterTable } from "../../model/parameters.ts";
import { storageType } from "../../model/precision.ts";
import { digestOf } from "./computation.ts";
import {
  normScratchBytes,
  optimizerLaunches,
  type OptimizerOptions,
  type WeightBuffers,
} from "./optimizer.ts";
import type { ResidentDataset } from "./resident.ts";
import {
  type BatchOptions,
  bindInputs,
  LOG_SLOTS,
  recordFirstPass,
  recordTrainingStep,
  recordValidation,
  type StepInputs,
} from "./step_graph.ts";

export type { WeightBuffers } from "./optimizer.ts";

/** Constants of a training step. */
export interface StepOptions extends BatchOptions, OptimizerOptions {
  /** Averages of the weights with power-function profiles. Default 0. */
  readonly profiles?: number;
  /** Kernel variants to use; default those for the device. */
  readonly target?: KernelTarget;
}

/** Noise levels of training: their table and, for a learned variance, the rows of its loss. */
export interface TrainingLevels extends ScheduleTables {
  readonly variances?: readonly VarianceRow[];
}

/** Device programs of training and validation. Each call is one submit; nothing is created or read back. */
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
  readonly #profileRates: BufferView | undefined;
  readonly #scope: ResourceScope;
  readonly #logStaging: GPUBuffer;
  readonly #encoded: ArrayBuffer = new ArrayBuffer(StepStateLayout.bytes);

  private constructor(
    gpu: Gpu,
    scope: ResourceScope,
    parts: Pick<TrainingStep, "programs" | "weights" | "gradients" | "health" | "table" | "kernels">,
    buffers: StepInputs<BufferView>,
    profileRates: BufferView | undefined,
  ) {
    this.#gpu = gpu;
    this.#scope = scope;
    this.#stepState = buffers.stepState;
    this.#profileRates = profileRates;
    this.programs = parts.programs;
    this.weights = parts.weights;
    this.gradients = parts.gradients;
    this.health = parts.health;
    this.table = parts.table;
    this.kernels = parts.kernels;
    this.log = buffers.log;
    this.order = buffers.order;
    this.lossScale = buffers.lossScale;
    this.#logStaging = scope.buffer(this.log.size, "log read-back", "staging").buffer;
  }

  /**
   * Records the network, its gradients, the loss and the optimizer.
   *
   * @throws {DeviceError} if there is too little device memory; nothing stays allocated
   */
  static build(
    gpu: Gpu,
    options: StepOptions,
    tables: TrainingLevels,
    data: ResidentDataset,
  ): Promise<TrainingStep> {
    const what = `training at batch ${options.batch}`;
    const scope = new ResourceScope(gpu, what);
    return scope.guard(async () => {
      const { batch, microBatches, target, precision, profiles = 0 } = options;
      const sizes = { chunks: data.chunks.map(({ count }) => count), levels: tables.signal.length };
      const g = new Graph(storageType(precision));
      const { inputs, ofParameter } = recordTrainingStep(g, options, sizes);
      const estimates = (name: string) => inputs.estimate && scope.buffer(inputs.estimate.bytes, name);
      const buffers = {
        ...createBuffers(gpu, scope, options, tables, data),
        estimate: estimates("estimates"),
      };
      // Without an estimate the network gets zeros, which nothing overwrites.
      const withoutEstimates = { ...buffers, estimate: estimates("no estimates") };
      const table = new ParameterTable(g.parameters);
      const flat = (name: string) => scope.buffer(4 * table.elements, name);
      const weights = {
        parameters: flat("parameters"),
        firstMoment: flat("first moment"),
        secondMoment: flat("second moment"),
        ema: flat("EMA"),
        profiles: Array.from({ length: profiles }, (_, i) => flat(`EMA profile ${i + 1}`)),
      };
      const profileRates = profiles === 0 ? undefined : scope.buffer(4 * profiles, "profile rates");
      const gradients = flat("gradients");
      // Before the activations, which take memory for speed where there is some left.
      const sum = microBatches > 1 ? flat("gradient sum") : gradients;
      const copy = precision === "mixed"
        ? scope.buffer(2 * table.elements, "weights in float16").buffer
        : undefined;
      const castFrom = ({ buffer }: BufferView): Launch<BufferView>[] =>
        copy ? castWeights(gpu, table.elements, buffer, copy) : [];

      const compiled = scope.own(compileGraph(gpu, g, {
        bound: new Map([
          ...bindInputs(inputs, buffers),
          ...bindParameters(g, weights.parameters.buffer, copy),
          ...[...bindGradients(g, gradients.buffer)].map(([of, view]) =>
            [ofParameter.get(of)!, view] as const
          ),
        ]),
        what,
        target,
      }));
      // No gradient goes through the first pass, which has a graph of its own and reuses the memory of the second.
      const f = new Graph(storageType(precision));
      const recorded = options.config.selfConditioning && recordFirstPass(f, options, sizes);
      const first = recorded && scope.own(compileGraph(gpu, f, {
        bound: new Map([
          ...bindInputs(recorded.inputs, withoutEstimates),
          ...bindParameters(f, weights.parameters.buffer, copy),
          [recorded.result, buffers.estimate!] as const, // as the network has self-conditioning
        ]),
        reuse: compiled.reusable,
        what: `self-conditioning at batch ${batch}`,
        target,
      }));
      const windows = flatWindows(table.elements, gpu.limits.maxStorageBufferBindingSize);

      // Algorithm 1, lines 2 to 5: the gradient of a micro-batch
      const casts = castFrom(weights.parameters);
      const additions = (microBatches > 1 ? windows : []).flatMap((window) =>
        accumulate(window.elements, {
          step_state: buffers.stepState,
          gradients: flatView(gradients, window),
          sum: flatView(sum, window),
        })
      );
      const microLaunches = [
        ...casts,
        ...first ? first.launches.flat() : [],
        ...compiled.launches.flat(),
        ...additions,
      ];

      // Algorithm 1, line 5: the gradient descent step
      const health = scope.buffer(HealthLayout.bytes, "health");
      const partials = scope.buffer(normScratchBytes(windows), "norm partials");
      const updateLaunches = optimizerLaunches(options, windows, {
        ...buffers,
        gradients: sum,
        weights,
        partials,
        health,
        profileRates,
      });

      // Validation uses the EMA weights, and reuses the memory of training
      const v = new Graph(storageType(precision));
      const validationInputs = recordValidation(v, options, sizes);
      const evaluation = scope.own(compileGraph(gpu, v, {
        bound: new Map([
          ...bindInputs(validationInputs, withoutEstimates),
          ...bindParameters(v, weights.ema.buffer, copy),
        ]),
        reuse: compiled.reusable,
        what: `validation at batch ${batch}`,
        target,
      }));
      const validationLaunches = [...castFrom(weights.ema), ...evaluation.launches.flat()];
      await precompile(gpu, [...microLaunches, ...updateLaunches, ...validationLaunches]);
      const programs = {
        micro: scope.own(await buildProgram(gpu, microLaunches)),
        update: scope.own(await buildProgram(gpu, updateLaunches)),
        validation: scope.own(await buildProgram(gpu, validationLaunches)),
      };
      const kernels = digestOf([
        ...casts,
        ...first ? first.separate : [],
        ...compiled.separate,
        ...additions,
        ...updateLaunches,
      ]);
      const parts = { programs, weights, gradients, health, table, kernels };
      return new TrainingStep(gpu, scope, parts, buffers, profileRates);
    });
  }

  /** Floating-point operations of the matrix products and convolutions in one micro-batch, forward and backward. */
  get flops(): number {
    return this.programs.micro.flops;
  }

  /** Computes the gradients of a micro-batch that is not the last of its optimizer step. */
  accumulate(state: StepState): void {
    this.#write(state);
    this.programs.micro.run();
  }

  /**
   * Computes the gradients of the last or only micro-batch, and updates the weights.
   *
   * @param rates share of the weights in the next average of each profile
   */
  update(state: StepState, rates: readonly number[] = []): void {
    this.#write(state);
    if (this.#profileRates) {
      this.#gpu.device.queue.writeBuffer(this.#profileRates.buffer, 0, Float32Array.from(rates));
    }
    runPrograms(this.#gpu, [this.programs.micro, this.programs.update]);
  }

  /** Computes the loss of one validation batch with the EMA weights. */
  validate(state: StepState): void {
    this.#write(state);
    this.programs.validation.run();
  }

  /** Waits for the device and reads the log, slot 0 first. */
  async readLog(): Promise<LoggedStep[]> {
    const [bytes] = await readBack(this.#gpu, [this.log], this.#logStaging);
    return decodeLog(bytes!); // one per view
  }

  /** Sets the image order of an epoch or of validation. */
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

function createBuffers(
  gpu: Gpu,
  scope: ResourceScope,
  options: StepOptions,
  tables: TrainingLevels,
  data: ResidentDataset,
): Omit<StepInputs<BufferView>, "estimate"> {
  const filled = (contents: ArrayBuffer | Float32Array<ArrayBuffer>, label: string): BufferView => {
    const view = scope.buffer(contents.byteLength, label);
    gpu.device.queue.writeBuffer(view.buffer, view.offset, contents);
    return view;
  };
  return {
    stepState: scope.buffer(StepStateLayout.bytes, "step state"),
    order: scope.buffer(4 * data.count, "order"),
    images: data.chunks.map(({ images }) => images),
    imageLabels: data.labels,
    schedule: filled(encodeScheduleTables(tables), "schedule"),
    variances: tables.variances && filled(encodeVarianceRows(tables.variances), "variances"),
    log: scope.buffer(LogRecordLayout.bytes * LOG_SLOTS, "log"),
    lossScale: options.precision === "mixed"
      ? filled(encodeLossScale(initialLossScale(options)), "loss scale")
      : undefined,
  };
}
