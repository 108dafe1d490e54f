/**
 * Continuous batching: images join between steps, follow their own plans, leave when they are finished, and can be parked
 * and resumed, so that a server starts new requests while others are running.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import { checkWhole } from "../checks.ts";
import type { ForwardProcess } from "../diffusion/forward_process.ts";
import { networkRows } from "../diffusion/guidance.ts";
import { ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { classCount, type UNetConfig } from "../model/config.ts";
import type { Precision } from "../model/precision.ts";
import type { GuideNetwork } from "./guidable.ts";
import type { ImageJob } from "./image_job.ts";
import { type JobUnderway, pictureAt, startJob, stepsToNextPicture } from "./job_underway.ts";
import { SlotBatch } from "./slots/slot_batch.ts";
import { advance, isFinished, rowsOfNextStep } from "./underway.ts";

/** An intermediate or finished image of a turn. */
export interface BatchPicture {
  /** Identifier of the image. */
  readonly id: number;
  /** Step, from 0, after which it was read. */
  readonly step: number;
  /** Shape [H, W, C], in [-1, 1]. */
  readonly data: Float32Array<ArrayBuffer>;
}

/** Result of {@linkcode RunningBatch.turn}. */
export interface BatchTurn {
  /** Steps that each image has advanced. */
  readonly steps: number;
  /** Duration in seconds, including read-back. */
  readonly seconds: number;
  /** Rows of the network's batch in use. */
  readonly rows: number;
  /** Rows of the network's batch in the program that ran; at least `rows`. */
  readonly programRows: number;
  /** Identifiers of the images that took part. */
  readonly images: readonly number[];
  /** Requested intermediate frames. */
  readonly frames: readonly BatchPicture[];
  /** Images that are finished and have left the batch. */
  readonly finished: readonly BatchPicture[];
}

/** Options of {@linkcode RunningBatch.build}. */
export interface RunningBatchOptions {
  /** Configuration of the network. */
  readonly config: UNetConfig;
  /** Forward process of the training. */
  readonly schedule: ForwardProcess;
  /** Weights in the layout of `ParameterTable`; they must not change while the batch is in use. */
  readonly weights: GPUBuffer;
  /** Rows of the network's largest batch, 1 or more. */
  readonly rows: number;
  /** True if the last row of the class table is the null class, which guidance needs. Default true. */
  readonly nullClass?: boolean;
  /** Kernel variants to use; default: those that suit the device. */
  readonly target?: KernelTarget;
  /** Storage type of activations; default float32. The weights must be in the layout for it. */
  readonly precision?: Precision;
  /** A second network for autoguidance. */
  readonly guide?: GuideNetwork;
  /** False: refused where slower programs in less memory would fit. Default true. */
  readonly sparing?: boolean;
}

/** Samples images with continuous batching. */
export class RunningBatch {
  /** Rows of the network's largest batch. */
  readonly rows: number;
  readonly #options: RunningBatchOptions;
  readonly #batch: SlotBatch;
  /** Occupied slots, which are the first ones without a gap. */
  readonly #slots: JobUnderway[] = [];
  /** Parked images by identifier, with their x_t. */
  readonly #parked = new Map<number, { readonly entry: JobUnderway; readonly x: GPUBuffer }>();
  /** Milliseconds per step of the last turn, by the rows of the program. */
  readonly #stepTime = new Map<number, number>();
  #turning = false;

  private constructor(batch: SlotBatch, options: RunningBatchOptions) {
    this.rows = options.rows;
    this.#options = options;
    this.#batch = batch;
  }

  /**
   * Records the network for batches of 1, 2, 3, 4, 6, 8, 12, … rows up to `rows`.
   *
   * @throws {ConfigError} for `rows` below 1, or a network that cannot be sampled
   * @throws {DeviceError} if they do not fit into device memory
   */
  static async build(gpu: Gpu, options: RunningBatchOptions): Promise<RunningBatch> {
    const { rows } = options;
    const batch = await SlotBatch.build(gpu, { ...options, slots: rows, rows: batchSizes(rows) });
    return new RunningBatch(batch, options);
  }

  /** Number of images in the batch, parked ones excluded. */
  get size(): number {
    return this.#slots.length;
  }

  /** Number of parked images. */
  get parked(): number {
    return this.#parked.size;
  }

  /**
   * Rows of the network's batch reserved for the images, at most {@linkcode RunningBatch.rows}. Steps outside an interval of
   * guidance take fewer.
   */
  get rowsInUse(): number {
    return this.#slots.reduce((sum, { image }) => sum + networkRows(image, !!this.#options.guide), 0);
  }

  /**
   * Adds an image to the batch; it takes its first step in the next turn.
   *
   * @throws {ConfigError} naming the invalid field of the image or of its edit, or if too few rows are free
   */
  add(image: ImageJob): void {
    const { id } = image;
    const job = startJob(image, this.#options);
    if (this.#slotOf(id) >= 0 || this.#parked.has(id)) {
      throw new ConfigError("id", id, "a number that no image in the batch has");
    }
    this.#requireRows(image);
    this.#slots.push(job);
  }

  /**
   * Removes an image before it is finished, parked or not.
   *
   * @returns false if it is not in the batch
   */
  remove(id: number): boolean {
    const parked = this.#parked.get(id);
    if (parked) this.#batch.parked.discard(parked.x);
    return this.#parked.delete(id) || this.#vacate(this.#slotOf(id));
  }

  /**
   * Parks an image: it takes no rows and no steps until it is resumed. The result is the same to the bit. Steps of a turn
   * that is running still count.
   *
   * @returns false if it is not in the batch, or already parked
   * @throws {DeviceError} if the device is out of memory
   */
  park(id: number): boolean {
    const slot = this.#slotOf(id);
    const entry = this.#slots[slot];
    if (!entry) return false;
    this.#parked.set(id, { entry, x: this.#batch.parked.park(slot) });
    return this.#vacate(slot);
  }

  /**
   * Resumes a parked image; it takes its next step in the next turn.
   *
   * @returns false if no image with this identifier is parked
   * @throws {ConfigError} if too few rows are free
   */
  resume(id: number): boolean {
    const parked = this.#parked.get(id);
    if (!parked) return false;
    this.#requireRows(parked.entry.image);
    this.#parked.delete(id);
    this.#batch.parked.resume(parked.x, this.#slots.push(parked.entry) - 1);
    return true;
  }

  #slotOf(id: number): number {
    return this.#slots.findIndex(({ image }) => image.id === id);
  }

  #requireRows(image: ImageJob): void {
    const free = this.rows - this.rowsInUse;
    const rows = networkRows(image, !!this.#options.guide);
    if (rows <= free) return;
    throw new ConfigError("rows", rows, `at most ${free}, which are free in the batch`);
  }

  #vacate(slot: number): boolean {
    if (slot < 0) return false;
    // The last image moves into the free slot, so that the occupied slots stay contiguous.
    const last = this.#slots.pop();
    if (last && slot < this.#slots.length) {
      this.#batch.move(this.#slots.length, slot);
      this.#slots[slot] = last;
    }
    return true;
  }

  /**
   * Advances all images by one or more steps: as many as fit into the given time, but none beyond the next frame or
   * finished image.
   *
   * @param milliseconds target duration; at least one step is taken. Each turn waits once for the device, which takes
   *   about 10 ms in Deno
   * @throws {DeviceError} if the device fails; the batch cannot be used afterwards
   * @throws {Error} if the batch has no images, or another turn is running
   */
  async turn(milliseconds: number): Promise<BatchTurn> {
    if (this.#slots.length === 0) throw new Error("a turn needs an image in the batch");
    if (this.#turning) throw new Error("another turn is running");
    this.#turning = true;
    try {
      return await this.#turn(milliseconds);
    } finally {
      this.#turning = false;
    }
  }

  async #turn(milliseconds: number): Promise<BatchTurn> {
    const start = performance.now();
    // A snapshot: images may join and leave while the device works.
    const present = [...this.#slots];
    const most = Math.min(...present.map(stepsToNextPicture));
    const first = advance(this.#batch, present);
    const known = this.#stepTime.get(first.programRows);
    const affordable = known === undefined ? 1 : Math.max(1, Math.floor(milliseconds / known));
    let steps = 1;
    // Step times are measured by the size of the program, so it stays the same.
    while (steps < most && steps < affordable && this.#nextRows(present) === first.rows) {
      advance(this.#batch, present);
      steps++;
    }
    const wanted = present.flatMap((entry, slot) => {
      const of = pictureAt(entry);
      return of ? [{ slot, of, entry }] : [];
    });
    const pictures = wanted.length > 0 ? await this.#batch.read(wanted) : [];
    if (wanted.length === 0) await this.#batch.settle();
    const [frames, finished]: [BatchPicture[], BatchPicture[]] = [[], []];
    for (const [i, { entry }] of wanted.entries()) {
      const { image, done } = entry;
      if (!this.#slots.includes(entry) && this.#parked.get(image.id)?.entry !== entry) continue;
      const data = pictures[i]!; // one for each of `wanted`
      (isFinished(entry) ? finished : frames).push({ id: image.id, step: done - 1, data });
    }
    for (const { id } of finished) this.remove(id);
    const elapsed = performance.now() - start;
    this.#stepTime.set(first.programRows, elapsed / steps);
    return {
      steps,
      seconds: elapsed / 1000,
      rows: first.rows,
      programRows: first.programRows,
      images: present.map(({ image }) => image.id),
      frames,
      finished,
    };
  }

  #nextRows(entries: readonly JobUnderway[]): number {
    const { config, guide } = this.#options;
    const nullLabel = classCount(config);
    return entries.reduce((sum, entry) => sum + rowsOfNextStep(entry, nullLabel, !!guide), 0);
  }

  /** Frees all buffers except the weights. */
  destroy(): void {
    this.#batch.destroy();
  }
}

/**
 * Batch sizes of the recorded programs: powers of two, the sizes half-way between them, and `rows` itself, so that a program
 * has at most 1.5 times the rows in use.
 *
 * @throws {ConfigError} for `rows` below 1
 */
export function batchSizes(rows: number): number[] {
  checkWhole("rows", rows, 1, Number.MAX_SAFE_INTEGER);
  const sizes: number[] = [];
  for (let size = 1; size < rows; size *= 2) {
    sizes.push(size);
    if (size > 1 && 1.5 * size < rows) sizes.push(1.5 * size);
  }
  return [...sizes, rows];
}
