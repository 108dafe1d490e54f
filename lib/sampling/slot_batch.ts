/**
 * Slots on the device, each with one image at its own timestep of its own trajectory; a step advances all occupied slots.
 * The network is recorded for several batch sizes over the same slots, so that a nearly empty batch costs little.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import { storedIn } from "../../kernels/storage.ts";
import { RowLayout, SlotLayout } from "../../kernels/records/layouts.ts";
import { encodeRows, encodeSlots, rowCount, type Slot } from "../../kernels/records/sampling.ts";
import {
  guidance,
  type GuidanceBuffers,
  guidanceRescale,
  samplerStep,
  slotEstimates,
  slotInputs,
  slotNoise,
  type SlotShape,
} from "../../kernels/sampler_step.ts";
import type { Launch } from "../../kernels/source.ts";
import { ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { alignUp, type BufferView, createBuffer, destroyBuffer, ResourceScope } from "../gpu/memory.ts";
import { precompile } from "../gpu/precompile.ts";
import { buildProgram, type Program } from "../gpu/program.ts";
import { readBack } from "../gpu/readback.ts";
import { fitMemory, kernelTarget } from "../graph/compile.ts";
import { HoistedConstants } from "../graph/constants.ts";
import { paddedChannels } from "../graph/tensor.ts";
import { classCount, imageChannels, imageSize, type UNetConfig } from "../model/config.ts";
import { type ForwardOptions, forwardPass } from "../model/network.ts";
import type { Precision } from "../model/precision.ts";
import { checkOutChannels } from "./channels.ts";
import { padChannels, unpadChannels } from "./padding.ts";
import { NO_GUIDANCE } from "./request.ts";
import type { KnownImage, SlotImage } from "./slot_image.ts";
import { splitSeed } from "../random.ts";
import { CLEAN } from "../diffusion/forward_process.ts";
import { guidanceStep, type Guided } from "../diffusion/guidance.ts";
import type { PlannedStep } from "../diffusion/sampler.ts";

/** Options of {@linkcode SlotBatch.build}. */
export interface SlotBatchOptions {
  readonly config: UNetConfig;
  /** Weights in the layout of `ParameterTable`; when they have changed, call {@linkcode SlotBatch.refresh}. */
  readonly weights: GPUBuffer;
  /** Number of slots. */
  readonly slots: number;
  /** Batch sizes of the network in rows, ascending; an image takes as many rows as `networkRows` says. */
  readonly rows: readonly number[];
  /** True if the last row of the class table is the null class, which guidance needs. Default true. */
  readonly nullClass?: boolean;
  /** Kernel variants to use; default: those that suit the device. */
  readonly target?: KernelTarget;
  /** Default float32. The weights must be in the layout for it. */
  readonly precision?: Precision;
  /** A second network for autoguidance, with the same inputs and outputs. */
  readonly guide?: GuideNetwork;
}

/** A network that guides another. */
export interface GuideNetwork {
  readonly config: UNetConfig;
  /** Weights for the same precision as the guided network's. */
  readonly weights: GPUBuffer;
}

/** The next step of the image in a slot. */
export interface SlotStep extends SlotImage {
  /** Index of the step, from 0; step 0 starts from `start` or from noise. */
  readonly step: number;
  /** Coefficients of the step. */
  readonly coefficients: PlannedStep;
  /** The image's last step, after which what is kept has no noise. Default false. */
  readonly last?: boolean;
}

/** Buffers that are an image's state: its x_t, and the estimates of x_0 of its last step and of the one before. */
const STATE = ["x", "preview", "earlier"] as const;

/** A picture of a slot: `x`, the current x_t, or `preview`, the estimate of x_0 at the last step. */
export interface SlotPicture {
  readonly slot: number;
  readonly of: "x" | "preview";
}

/** Memory limit for cached weight transforms in bytes; Winograd's take 0.6 GB for preset `ddpm`. */
const MAX_CONSTANT_BYTES = 2 ** 30;

type NetworkOptions = SlotBatchOptions & { readonly target: KernelTarget };

/** What the passes of a network share, of all batch sizes. */
interface Network extends Pick<ForwardOptions, "copy"> {
  readonly options: NetworkOptions;
  readonly what: string;
  readonly constants: HoistedConstants;
  /** Memory of its largest pass, for the others. */
  spare: readonly GPUBuffer[];
}

/** A network's pass over its rows. */
interface RecordedPass {
  readonly inputs: Launch<BufferView>[];
  readonly forward: readonly Launch<BufferView>[];
  readonly outputs: GuidanceBuffers<BufferView>;
}

/** Launches of a step at a batch size. */
interface RecordedSize {
  readonly rows: number;
  readonly slots: number;
  readonly own: readonly Launch<BufferView>[];
  /** The same with the guiding network. */
  readonly guided: readonly Launch<BufferView>[] | undefined;
}

interface SizedProgram {
  readonly rows: number;
  readonly slots: number;
  readonly program: Program;
  /** The same with the guiding network. */
  readonly guided: Program | undefined;
}

/**
 * Checks that a network has the classes that an image's guidance needs.
 *
 * @throws {ConfigError} for guidance without a class table, or without a row for the null class where that is needed
 */
export function checkGuidable(
  { guidance, negative }: Pick<Guided, "guidance" | "negative">,
  { config, nullClass = true, guide }: Pick<SlotBatchOptions, "config" | "nullClass" | "guide">,
): void {
  if (guidance === 1 || guide) return;
  if (config.numClassEmbeds === null) {
    throw new ConfigError("guidance", guidance, "1, since this model was trained without classes");
  }
  if (!nullClass && negative === undefined) throw new ConfigError("guidance", guidance, NO_GUIDANCE);
}

/** Slots on the device and the programs that advance them. */
export class SlotBatch {
  readonly slots: number;
  readonly #gpu: Gpu;
  readonly #config: UNetConfig;
  readonly #options: Pick<SlotBatchOptions, "config" | "nullClass" | "guide">;
  readonly #scope: ResourceScope;
  readonly #programs: SizedProgram[] = [];
  /** Computes the cached weight transforms. */
  #constants: readonly Program[] = [];
  readonly #buffers: Readonly<
    Record<
      | "slots"
      | "rows"
      | "guideRows"
      | "out"
      | "known"
      | "mask"
      | "scratch"
      | "staging"
      | typeof STATE[number],
      BufferView
    >
  >;
  /** Known image of each slot on the device, if any; an image that comes into a slot brings its own. */
  readonly #known: (KnownImage | undefined)[] = [];
  /** States of the parked images. */
  readonly #parked = new Set<GPUBuffer>();
  /** Buffers of earlier parked images, for reuse. */
  readonly #spare: GPUBuffer[] = [];

  private constructor(gpu: Gpu, options: SlotBatchOptions, scope: ResourceScope) {
    const { config, slots, rows } = options;
    const imageBytes = imageBytesOf(config);
    this.slots = slots;
    this.#gpu = gpu;
    this.#config = config;
    this.#options = options;
    this.#scope = scope;
    this.#buffers = {
      slots: scope.buffer(SlotLayout.bytes * slots, "slots"),
      rows: scope.buffer(RowLayout.bytes * Math.max(...rows), "rows"),
      guideRows: scope.buffer(RowLayout.bytes * Math.max(...rows), "rows of the guide"),
      x: scope.buffer(slots * imageBytes, "x"),
      out: scope.buffer(slots * imageBytesOf(config, config.outChannels), "guided outputs"),
      preview: scope.buffer(slots * imageBytes, "preview"),
      earlier: scope.buffer(slots * imageBytes, "earlier estimates"),
      known: scope.buffer(slots * imageBytes, "known images"),
      mask: scope.buffer(slots * imageBytes / paddedChannels(imageChannels(config)), "masks"),
      scratch: scope.buffer(STATE.length * imageBytes, "scratch"),
      staging: scope.buffer(2 * slots * alignUp(imageBytes, 8), "read-back", "staging"),
    };
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
    return await fitMemory(target, (target) => SlotBatch.#build(gpu, { ...options, target }));
  }

  static async #build(gpu: Gpu, options: SlotBatchOptions & { target: KernelTarget }): Promise<SlotBatch> {
    const { slots, rows } = options;
    const scope = new ResourceScope(gpu, `sampling ${slots} images at once`);
    return await scope.guard(async () => {
      const batch = new SlotBatch(gpu, options, scope);
      const main = batch.#network(options, "sampling");
      const guide = options.guide && batch.#network({ ...options, ...options.guide }, "guidance");
      // The largest first: only one size runs at a time, so the others reuse its memory.
      const recorded = rows.toReversed().map((size) => batch.#record(size, main, guide));
      const constants = (guide ? [main, guide] : [main]).map(({ constants }) => constants.launches);
      const all = recorded.flatMap(({ own, guided = [] }) => [...own, ...guided]);
      await precompile(gpu, [...all, ...constants.flat()]);
      const build = async (launches: readonly Launch<BufferView>[]) =>
        scope.own(await buildProgram(gpu, launches));
      for (const { own, guided, ...size } of recorded) {
        batch.#programs.unshift({
          ...size,
          program: await build(own),
          guided: guided && await build(guided),
        });
      }
      for (const launches of constants) batch.#constants = [...batch.#constants, await build(launches)];
      batch.refresh();
      return batch;
    });
  }

  /** What the passes of a network share. */
  #network(options: NetworkOptions, what: string): Network {
    const { memory } = this.#gpu;
    const copy = options.precision === "mixed"
      ? this.#scope.buffer(options.weights.size / 2, "weights in float16").buffer
      : undefined;
    const limit = options.target.frugal ? 0 : Math.min(MAX_CONSTANT_BYTES, (memory.limit - memory.used) / 4);
    const constants = this.#scope.own(new HoistedConstants(this.#gpu, what, limit));
    return { options, what, copy, constants, spare: [] };
  }

  /** Records a network for a batch of rows; the first of its passes should be the largest. */
  #pass(rows: number, network: Network, assigned: BufferView): RecordedPass {
    const { options: { config, weights, target, precision }, what, copy, constants, spare } = network;
    const forward = this.#scope.own(
      forwardPass(this.#gpu, config, rows, weights, `${what} with a batch of ${rows}`, {
        ...{ reuse: spare, copy, constants, target, precision },
      }),
    );
    if (spare.length === 0) network.spare = forward.reusable;
    const { slots: records, x, out, preview: h1 } = this.#buffers;
    const { x: input, estimate, timesteps: timestep } = forward.inputs;
    // The kernel writes labels for unconditional networks, too.
    const label = forward.inputs.labels ?? this.#scope.buffer(4 * rows, "labels");
    const buffers = { slots: records, rows: assigned, x, input, timestep, label };
    const shape = this.#shape(rows);
    return {
      inputs: [
        ...slotInputs(shape, rows, buffers),
        ...estimate ? slotEstimates(shape, rows, { slots: records, rows: assigned, h1, estimate }) : [],
      ],
      forward: forward.launches,
      outputs: { slots: records, rows: assigned, model_out: forward.prediction, out },
    };
  }

  #shape(rows: number): SlotShape {
    const [height, width] = imageSize(this.#config);
    const { outChannels } = this.#config;
    const channels = imageChannels(this.#config);
    return { slots: Math.min(this.slots, rows), height, width, channels, outChannels };
  }

  #record(rows: number, main: Network, guide: Network | undefined): RecordedSize {
    const { slots: records, rows: assigned, guideRows, x, out, preview, earlier, known, mask } =
      this.#buffers;
    const shape = this.#shape(rows);
    const half = main.options.precision === "mixed";
    const own = this.#pass(rows, main, assigned);
    const start = [
      ...storedIn(half, [...slotNoise(shape, { slots: records, x }), ...own.inputs]),
      ...own.forward,
      ...storedIn(half, guidance(shape, own.outputs)),
    ];
    const end = storedIn(half, [
      ...guidanceRescale(shape, own.outputs),
      ...samplerStep(shape, { slots: records, out, x, h1: preview, h2: earlier, known, mask }),
    ]);
    const second = guide && this.#pass(rows, guide, guideRows);
    return {
      rows,
      slots: shape.slots,
      own: [...start, ...end],
      guided: second && [
        ...start,
        ...storedIn(half, second.inputs),
        ...second.forward,
        ...storedIn(half, guidance(shape, second.outputs, true)),
        ...end,
      ],
    };
  }

  /** Recomputes the cached weight transforms after the weights have changed. */
  refresh(): void {
    // Not run as a program, which a profile would count as a step.
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const constants of this.#constants) constants.record(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
  }

  /** Floating-point operations of the matrix products in one step of the largest batch. */
  get flopsPerStep(): number {
    return this.#programs.at(-1)!.program.flops; // `build` records one for each size
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
    const nullLabel = classCount(this.#config);
    const slots = work.map((slot, index): Slot | undefined => {
      if (!slot) return undefined;
      const { seed, step } = slot;
      const coefficients = this.#given(index, slot);
      const [seedLo, seedHi] = splitSeed(seed);
      checkGuidable(slot, this.#options);
      const { guide } = this.#options;
      const { terms, guideTerms, rescale } = guidanceStep(slot, coefficients.noiseRatio, nullLabel, !!guide);
      const { signal: knownSignal, noise: knownNoise } = knownLevel(slot);
      const networks = { rows: terms, guideRows: guideTerms, rescale };
      return { step, coefficients, seedLo, seedHi, ...networks, knownSignal, knownNoise };
    });
    const [own, guiding] = [rowCount(slots), rowCount(slots, "guideRows")];
    const rows = Math.max(own, guiding);
    const occupied = slots.findLastIndex((slot) => slot !== undefined) + 1;
    const sized = this.#programs.find((program) => program.rows >= rows && program.slots >= occupied);
    if (!sized) throw new RangeError(`${rows} rows in ${occupied} slots are more than any batch has`);
    const { queue } = this.#gpu.device;
    while (slots.length < sized.slots) slots.push(undefined);
    queue.writeBuffer(this.#buffers.slots.buffer, 0, encodeSlots(slots.slice(0, sized.slots)));
    queue.writeBuffer(this.#buffers.rows.buffer, 0, encodeRows(slots, sized.rows));
    if (!sized.guided || guiding === 0) {
      sized.program.run();
      return { rows: own, programRows: sized.rows };
    }
    queue.writeBuffer(this.#buffers.guideRows.buffer, 0, encodeRows(slots, sized.rows, "guideRows"));
    sized.guided.run();
    return { rows: own + guiding, programRows: 2 * sized.rows };
  }

  /**
   * Uploads what is given of a slot's image, where the slot does not hold it yet.
   *
   * @returns coefficients of the step, without noise if the image starts from something else
   */
  #given(index: number, { step, coefficients, start, known }: SlotStep): PlannedStep {
    const channels = imageChannels(this.#config);
    const { queue } = this.#gpu.device;
    const size = imageBytesOf(this.#config);
    if (known && this.#known[index] !== known) {
      queue.writeBuffer(this.#buffers.known.buffer, index * size, padChannels(known.image, channels));
      queue.writeBuffer(this.#buffers.mask.buffer, index * known.mask.byteLength, known.mask);
      this.#known[index] = known;
    }
    if (step > 0 || !start) return coefficients;
    queue.writeBuffer(this.#buffers.x.buffer, index * size, padChannels(start, channels));
    return { ...coefficients, initialNoise: 0 };
  }

  /** Moves an image to another slot. */
  move(from: number, to: number): void {
    const { buffer } = this.#buffers.scratch;
    // Through a second buffer: WebGPU does not allow copies within one.
    this.#copyState((slot, scratch) => [slot(from), scratch(buffer)]);
    this.#copyState((slot, scratch) => [scratch(buffer), slot(to)]);
  }

  /**
   * Copies the state of the image out of a slot: x_t and the latest estimates of x_0. With the index of the next step that
   * is all, since noise depends on seed and step alone, and a known image is uploaded again.
   *
   * @returns buffer for {@linkcode SlotBatch.resume} or {@linkcode SlotBatch.discard}
   * @throws {DeviceError} if the device is out of memory
   */
  park(slot: number): GPUBuffer {
    const size = STATE.length * imageBytesOf(this.#config);
    const parked = this.#spare.pop() ?? createBuffer(this.#gpu, size, "an image set aside");
    this.#parked.add(parked);
    this.#copyState((at, aside) => [at(slot), aside(parked)]);
    return parked;
  }

  /** Copies a parked image into a slot, and releases its buffer for reuse. */
  resume(parked: GPUBuffer, slot: number): void {
    this.#copyState((at, aside) => [aside(parked), at(slot)]);
    this.discard(parked);
  }

  /** Discards a parked image, and releases its buffer for reuse. */
  discard(parked: GPUBuffer): void {
    if (this.#parked.delete(parked)) this.#spare.push(parked);
  }

  /**
   * Copies each part of an image's state.
   *
   * @param ends source and destination, from the part of a slot and from that of a buffer with one image's state
   */
  #copyState(
    ends: (
      slot: (index: number) => BufferView,
      aside: (buffer: GPUBuffer) => BufferView,
    ) => readonly [BufferView, BufferView],
  ): void {
    const size = imageBytesOf(this.#config);
    const encoder = this.#gpu.device.createCommandEncoder();
    for (const [i, part] of STATE.entries()) {
      const [from, to] = ends(
        (slot) => ({ ...this.#buffers[part], offset: slot * size, size }),
        (buffer) => ({ buffer, offset: i * size, size }),
      );
      encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, size);
    }
    this.#gpu.device.queue.submit([encoder.finish()]);
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
    const size = imageBytesOf(this.#config);
    const views = pictures.map(({ slot, of }): BufferView => ({
      buffer: this.#buffers[of].buffer,
      offset: slot * size,
      size,
    }));
    const copies = await readBack(this.#gpu, views, this.#buffers.staging.buffer);
    return copies.map((copy) => unpadChannels(new Float32Array(copy), imageChannels(this.#config)));
  }

  /** Frees all buffers except the weights. */
  destroy(): void {
    for (const buffer of [...this.#parked, ...this.#spare.splice(0)]) destroyBuffer(this.#gpu, buffer);
    this.#parked.clear();
    this.#scope.destroy();
  }
}

/** Level of the known image after a step. */
function knownLevel(
  { known, last = false, coefficients: { next } }: SlotStep,
): { signal: number; noise: number } {
  if (!known) return { signal: 0, noise: 0 };
  return last ? CLEAN : next;
}

function imageBytesOf(config: UNetConfig, channels: number = imageChannels(config)): number {
  const [height, width] = imageSize(config);
  return 4 * height * width * paddedChannels(channels);
}
