/**
 * A training step on the device (Ho et al. 2020, algorithm 1, lines 2 to 5), and the loss of a validation batch.
 *
 * @module
 */
import { StepStateLayout } from "../../../kernels/records/layouts.ts";
import { encodeRecord } from "../../../kernels/records/record.ts";
import type { StepState } from "../../../kernels/records/step_state.ts";
import { decodeLog, type LoggedStep } from "../../../kernels/records/training.ts";
import type { Gpu } from "../../gpu/device.ts";
import { type BufferView, ResourceScope } from "../../gpu/memory.ts";
import { type Program, runPrograms } from "../../gpu/program.ts";
import { readBack } from "../../gpu/readback.ts";
import type { ParameterTable } from "../../model/parameters.ts";
import type { WeightBuffers } from "./optimizer.ts";
import type { DeviceImages } from "./device_images.ts";
import type { TrainingLevels } from "./step_buffers.ts";
import { buildStep, type BuiltStep, type StepOptions, type StepPrograms } from "./step_programs.ts";

/**
 * Device programs of training and validation. Each call is one submit; nothing is created or read back. A step's images must
 * have been placed before ({@linkcode DeviceImages}).
 */
export class TrainingStep {
  /** Programs, for profiles. */
  readonly programs: StepPrograms;
  readonly weights: WeightBuffers;
  /** Gradients of the last micro-batch, flat. */
  readonly gradients: BufferView;
  /** Sums of gradients over micro-batches, flat: of each node of their tree (`summation_tree.ts`); none where a step has a single one. */
  readonly sums: readonly BufferView[];
  /** `LogRecord` records, `LOG_SLOTS` if not set otherwise. */
  readonly log: BufferView;
  /** One `Health` record. */
  readonly health: BufferView;
  /** One `LossScale` record; undefined in float32. */
  readonly lossScale: BufferView | undefined;
  readonly table: ParameterTable;
  /** Digest of the kernels that change the weights. */
  readonly kernels: string;
  readonly #gpu: Gpu;
  readonly #microBatches: number;
  readonly #firstMicro: number;
  readonly #stepState: BufferView;
  readonly #profileRates: BufferView | undefined;
  readonly #scope: ResourceScope;
  readonly #logStaging: GPUBuffer;
  readonly #encoded: ArrayBuffer = new ArrayBuffer(StepStateLayout.bytes);

  private constructor(
    gpu: Gpu,
    scope: ResourceScope,
    { programs, buffers, table, kernels }: BuiltStep,
    { microBatches, microRange }: StepOptions,
  ) {
    const { inputs, gradients, sums, optimizer } = buffers;
    this.#gpu = gpu;
    this.#microBatches = microBatches;
    this.#firstMicro = microRange?.first ?? 0;
    this.#scope = scope;
    this.#stepState = inputs.stepState;
    this.#profileRates = optimizer.profileRates;
    this.programs = programs;
    this.weights = optimizer.weights;
    this.gradients = gradients;
    this.sums = sums;
    this.health = optimizer.health;
    this.table = table;
    this.kernels = kernels;
    this.log = inputs.log;
    this.lossScale = inputs.lossScale;
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
    levels: TrainingLevels,
    data: DeviceImages,
  ): Promise<TrainingStep> {
    const what = `training at batch ${options.batch}`;
    const scope = new ResourceScope(gpu, what);
    return scope.guard(async () =>
      new TrainingStep(gpu, scope, await buildStep(gpu, scope, what, options, levels, data), options)
    );
  }

  /** Floating-point operations of the matrix products and convolutions in one micro-batch, forward and backward. */
  get flops(): number {
    return this.programs.micro.flops;
  }

  /** Computes the gradients of a micro-batch that is not the last of its optimizer step. */
  accumulate(state: StepState): void {
    this.#write(state);
    runPrograms(this.#gpu, this.#programsOf(state));
  }

  /**
   * Computes the gradients of the last or only micro-batch, and updates the weights.
   *
   * @param rates share of the weights in the next average of each profile
   */
  update(state: StepState, rates: readonly number[] = []): void {
    this.#write(state);
    this.#writeRates(rates);
    runPrograms(this.#gpu, [...this.#programsOf(state), this.programs.update]);
  }

  /**
   * Updates the weights with the gradients that are in the first of {@linkcode sums}, whoever put them there.
   *
   * @param rates share of the weights in the next average of each profile
   */
  descend(state: StepState, rates: readonly number[] = []): void {
    this.#write(state);
    this.#writeRates(rates);
    this.programs.update.run();
  }

  #writeRates(rates: readonly number[]): void {
    if (!this.#profileRates) return;
    this.#gpu.device.queue.writeBuffer(this.#profileRates.buffer, 0, Float32Array.from(rates));
  }

  /** Gradients of a micro-batch, and the additions that follow it. */
  #programsOf({ step }: StepState): Program[] {
    const { micro, additions } = this.programs;
    return [micro, ...additions[step % this.#microBatches - this.#firstMicro] ?? []];
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
