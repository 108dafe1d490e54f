/**
 * Slots on the device, each with one image at its own timestep of its own trajectory; a step advances all occupied slots.
 * The network is recorded for several batch sizes over the same slots, so that a nearly empty batch costs little.
 *
 * @module
 */
import { rowCount } from "../../../kernels/records/sampling.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import type { Gpu } from "../../gpu/device.ts";
import { type BufferView, ResourceScope } from "../../gpu/memory.ts";
import { precompile } from "../../gpu/precompile.ts";
import { buildProgram, type Program, runPrograms } from "../../gpu/program.ts";
import { fitMemory, kernelTarget } from "../../graph/compile.ts";
import type { Precision } from "../../model/precision.ts";
import { BatchedNetwork } from "./batched_network.ts";
import { checkOutChannels } from "../channels.ts";
import type { GuidableNetwork } from "../guidable.ts";
import { ParkedImages } from "./parked_images.ts";
import { recordStep } from "./recorded_step.ts";
import { SlotBuffers, type SlotPicture } from "./slot_buffers.ts";
import { slotRecord, type SlotStep } from "./slot_record.ts";

/** Options of {@linkcode SlotBatch.build}. */
export interface SlotBatchOptions extends GuidableNetwork {
  /** Weights in the layout of `ParameterTable`; when they have changed, call {@linkcode SlotBatch.refresh}. */
  readonly weights: GPUBuffer;
  /** Number of slots. */
  readonly slots: number;
  /** Batch sizes of the network in rows, ascending; an image takes as many rows as `networkRows` says. */
  readonly rows: readonly number[];
  /** Kernel variants to use; default: those that suit the device. */
  readonly target?: KernelTarget;
  /** Default float32. The weights must be in the layout for it. */
  readonly precision?: Precision;
  /** False: refused where slower programs in less memory would fit. Default true. */
  readonly sparing?: boolean;
}

/** A step at one batch size. */
interface SizedProgram {
  /** Rows of each network's batch. */
  readonly rows: number;
  /** Slots that it advances, the first ones. */
  readonly slots: number;
  readonly program: Program;
  /** The same with the guiding network. */
  readonly guided: Program | undefined;
  /** See {@linkcode RecordedStep}. */
  readonly rescale: Program;
  readonly update: Program;
}

/** Resources of a batch. */
interface SlotBatchParts {
  readonly scope: ResourceScope;
  readonly buffers: SlotBuffers;
  /** By ascending batch size. */
  readonly programs: readonly SizedProgram[];
  /** Programs that compute the cached weight transforms. */
  readonly constants: readonly Program[];
}

/** Slots on the device and the programs that advance them. */
export class SlotBatch {
  readonly slots: number;
  /** Images that have left their slots for a while. */
  readonly parked: ParkedImages;
  readonly #gpu: Gpu;
  readonly #network: GuidableNetwork;
  readonly #parts: SlotBatchParts;
  /** True if the cached weight transforms are not those of the weights. */
  #stale = true;

  private constructor(gpu: Gpu, options: SlotBatchOptions, parts: SlotBatchParts) {
    this.slots = options.slots;
    this.parked = new ParkedImages(gpu, parts.buffers);
    this.#gpu = gpu;
    this.#network = options;
    this.#parts = parts;
  }

  /**
   * Records the network and the sampler's step for every batch size.
   *
   * @throws {ConfigError} if the network's output has neither the channels of its input nor, for a learned variance, twice as many
   * @throws {DeviceError} if the batch does not fit into device memory
   */
  static async build(gpu: Gpu, options: SlotBatchOptions): Promise<SlotBatch> {
    const { config, target = kernelTarget(gpu) } = options;
    checkOutChannels(config);
    const build = (target: KernelTarget) => SlotBatch.#build(gpu, { ...options, target });
    return options.sparing === false ? await build(target) : await fitMemory(target, build);
  }

  static async #build(gpu: Gpu, options: SlotBatchOptions & { target: KernelTarget }): Promise<SlotBatch> {
    const { config, weights, target, precision, slots, rows } = options;
    const scope = new ResourceScope(gpu, `sampling ${slots} images at once`);
    return await scope.guard(async () => {
      const buffers = new SlotBuffers(gpu, scope, config, slots, Math.max(...rows));
      const shared = { target, precision };
      const main = new BatchedNetwork(gpu, scope, { config, weights, ...shared }, "sampling");
      const guide = options.guide &&
        new BatchedNetwork(gpu, scope, { ...options.guide, ...shared }, "guidance");
      const recording = { config, half: precision === "mixed", main, guide, views: buffers.views, scope };
      // The largest first: only one size runs at a time, so the others reuse its memory.
      const recorded = rows.toReversed().map((rows) => {
        const advanced = Math.min(slots, rows);
        return { rows, slots: advanced, ...recordStep(recording, rows, advanced) };
      });
      const transforms = (guide ? [main, guide] : [main]).map(({ constants }) => constants.launches);
      const build = async (launches: readonly Launch<BufferView>[]) =>
        scope.own(await buildProgram(gpu, launches));
      const all = recorded.flatMap(({ own, guided = [], update }) => [...own, ...guided, ...update]);
      // Few requests rescale, so the first that does waits for the kernel.
      await precompile(gpu, [...all, ...transforms.flat()]);
      const programs: SizedProgram[] = [];
      for (const { rows, slots, own, guided, rescale, update } of recorded) {
        programs.unshift({
          ...{ rows, slots, program: await build(own), guided: guided && await build(guided) },
          ...{ rescale: await build(rescale), update: await build(update) },
        });
      }
      const constants: Program[] = [];
      for (const launches of transforms) constants.push(await build(launches));
      return new SlotBatch(gpu, options, { scope, buffers, programs, constants });
    });
  }

  /** Recomputes the cached weight transforms after the weights have changed, before the next step. */
  refresh(): void {
    this.#stale = true;
  }

  #transformWeights(): void {
    this.#stale = false;
    // Not run as a program, which a profile would count as a step.
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const constants of this.#parts.constants) constants.record(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
  }

  /** Floating-point operations of the matrix products in one step of the largest batch. */
  get flopsPerStep(): number {
    return this.#parts.programs.at(-1)!.program.flops; // `build` records one for each size
  }

  /**
   * Advances all occupied slots by one step; returns before the device has finished.
   *
   * @param work next step of each slot; undefined, or missing at the end, for idle slots, which keep their pictures
   * @returns `rows`: rows of the networks' batches in use; `programRows`: rows of the program that ran, at least `rows`
   * @throws {ConfigError} for guidance with a network without a null class
   * @throws {RangeError} if no recorded batch is large enough
   */
  step(work: readonly (SlotStep | undefined)[]): { rows: number; programRows: number } {
    const { buffers, programs } = this.#parts;
    const slots = work.map((slot) => slot && slotRecord(slot, this.#network));
    const [own, guiding] = [rowCount(slots), rowCount(slots, "guideRows")];
    const rows = Math.max(own, guiding);
    const occupied = slots.findLastIndex((slot) => slot !== undefined) + 1;
    const sized = programs.find((program) => program.rows >= rows && program.slots >= occupied);
    if (!sized) throw new RangeError(`${rows} rows in ${occupied} slots are more than any batch has`);
    for (const [index, slot] of work.entries()) {
      if (slot?.known) buffers.writeKnown(index, slot.known);
      if (slot?.start && slot.step === 0) buffers.writeStart(index, slot.start);
    }
    while (slots.length < sized.slots) slots.push(undefined);
    buffers.writeSlots(slots.slice(0, sized.slots));
    buffers.writeRows(slots, sized.rows, "rows");
    if (this.#stale) this.#transformWeights();
    const { rescale, update } = sized;
    const end = slots.some((slot) => slot?.rescale) ? [rescale, update] : [update];
    if (!sized.guided || guiding === 0) {
      runPrograms(this.#gpu, [sized.program, ...end]);
      return { rows: own, programRows: sized.rows };
    }
    buffers.writeRows(slots, sized.rows, "guideRows");
    runPrograms(this.#gpu, [sized.guided, ...end]);
    return { rows: own + guiding, programRows: 2 * sized.rows };
  }

  /** Moves an image to another slot. */
  move(from: number, to: number): void {
    this.#parts.buffers.move(from, to);
  }

  /** Waits until the device has finished all steps so far. */
  async settle(): Promise<void> {
    await this.#gpu.device.queue.onSubmittedWorkDone();
    // The getter throws if the device failed meanwhile.
    void this.#gpu.device;
  }

  /**
   * Reads pictures after all steps so far, in one read-back.
   *
   * @returns one array per picture, shape [H, W, C] without channel padding, in [-1, 1]
   */
  async read(pictures: readonly SlotPicture[]): Promise<Float32Array<ArrayBuffer>[]> {
    return await this.#parts.buffers.read(pictures);
  }

  /** Frees all buffers except the weights. */
  destroy(): void {
    this.parked.destroy();
    this.#parts.scope.destroy();
  }
}
