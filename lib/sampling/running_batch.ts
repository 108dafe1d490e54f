/**
 * Continuous batching: images join between steps, each follows its own plan and leaves when it is finished, or is parked
 * half way and resumed later. A server can so start on a new request while others are under way.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import { checkWhole } from "../checks.ts";
import { ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { classCount, type UNetConfig } from "../model/config.ts";
import type { Precision } from "../model/precision.ts";
import { checkGuidance } from "../diffusion/guidance.ts";
import { planSampling } from "../diffusion/sampler.ts";
import type { NoiseSchedule } from "../diffusion/schedule.ts";
import type { ImageJob } from "./image_job.ts";
import { checkGuidable, networkRows, SlotBatch, type SlotPicture } from "./slot_batch.ts";
import { advance, isFinished, type Underway } from "./underway.ts";

/** A picture that came out of a turn: [H, W, C] in [-1, 1]. */
export interface BatchPicture {
  /** The image's number. */
  readonly id: number;
  /** Step, from 0, after which it was taken. */
  readonly step: number;
  /** [H, W, C] in [-1, 1]. */
  readonly data: Float32Array<ArrayBuffer>;
}

/** What a turn did. */
export interface BatchTurn {
  /** Steps that every image in the batch has advanced. */
  readonly steps: number;
  /** Seconds it took, reading back included. */
  readonly seconds: number;
  /** Rows of the network's batch in use, and of the program that ran. */
  readonly rows: number;
  /** Rows of the network's batch in the program that ran; at least `rows`. */
  readonly programRows: number;
  /** Numbers of the images that took part. */
  readonly images: readonly number[];
  /** Moments that images were to be shown at. */
  readonly frames: readonly BatchPicture[];
  /** Images that are finished and have left the batch. */
  readonly finished: readonly BatchPicture[];
}

/** Options of {@linkcode RunningBatch.build}. */
export interface RunningBatchOptions {
  /** The network. */
  readonly config: UNetConfig;
  /** The noise schedule that it was trained with, from which images are planned. */
  readonly schedule: NoiseSchedule;
  /** Its weights, laid out as `ParameterTable` says; they must not change while the batch is in use. */
  readonly weights: GPUBuffer;
  /** Rows of the network's largest batch, 1 or more. */
  readonly rows: number;
  /** Whether the class table's last row stands for no class, which guidance needs. Default: where there is a table. */
  readonly nullClass?: boolean;
  /** Kernel variants to use; default those that suit the device. */
  readonly target?: KernelTarget;
  /** How activations lie in memory; default float32. The weights must be laid out for it. */
  readonly precision?: Precision;
}

/** An image in a slot. */
interface Entry extends Underway {
  readonly image: ImageJob;
}

/** Draws images that come and go. */
export class RunningBatch {
  /** Rows of the network's largest batch. */
  readonly rows: number;
  readonly #options: RunningBatchOptions;
  readonly #batch: SlotBatch;
  /** The image in each slot; those in use come first, without a gap. */
  readonly #slots: Entry[] = [];
  /** By number: images set aside, each with its x_t. */
  readonly #parked = new Map<number, { readonly entry: Entry; readonly x: GPUBuffer }>();
  /** Milliseconds a step took lately, by the rows of the program. */
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
   * @throws {DeviceError} when the device cannot hold them
   */
  static async build(gpu: Gpu, options: RunningBatchOptions): Promise<RunningBatch> {
    const { rows } = options;
    const batch = await SlotBatch.build(gpu, { ...options, slots: rows, rows: batchSizes(rows) });
    return new RunningBatch(batch, options);
  }

  /** Images that the next turn takes on; parked ones do not count. */
  get size(): number {
    return this.#slots.length;
  }

  /** Images that were parked and neither resumed nor removed. */
  get parked(): number {
    return this.#parked.size;
  }

  /** Rows of the network's batch that they take. */
  get rowsInUse(): number {
    return this.#slots.reduce((sum, { image }) => sum + networkRows(image.guidance), 0);
  }

  /**
   * Puts an image into the batch; its first step is the next turn's.
   *
   * @throws {ConfigError} naming what is wrong with the image, or when there is no room for it
   */
  add(image: ImageJob): void {
    const { id, label, seed, guidance, sampler, steps, eta, frames } = image;
    const classes = classCount(this.#options.config);
    checkWhole("label", label, 0, classes);
    checkWhole("seed", seed, 0, Number.MAX_SAFE_INTEGER);
    checkGuidance(guidance);
    if (guidance !== 1) checkGuidable(guidance, this.#options);
    const plan = planSampling(sampler, this.#options.schedule, { steps, eta });
    for (const at of frames?.at ?? []) checkWhole("frames.at", at, 0, steps - 1);
    if (this.#slotOf(id) >= 0 || this.#parked.has(id)) {
      throw new ConfigError("id", id, "a number that no image in the batch has");
    }
    this.#requireRoom(image);
    this.#slots.push({ image, plan, done: 0 });
  }

  /**
   * Takes an image out before it is finished, parked or not.
   *
   * @returns false where it is not in the batch
   */
  remove(id: number): boolean {
    const parked = this.#parked.get(id);
    if (parked) this.#batch.discard(parked.x);
    return this.#parked.delete(id) || this.#vacate(this.#slotOf(id));
  }

  /**
   * Sets an image aside: it takes no rows and no further steps until it is resumed, and comes out the same to the bit. A
   * turn that is under way still counts for it.
   *
   * @returns false where it is not in the batch, or parked already
   * @throws {DeviceError} when the device has no memory left
   */
  park(id: number): boolean {
    const slot = this.#slotOf(id);
    if (slot < 0) return false;
    this.#parked.set(id, { entry: this.#slots[slot], x: this.#batch.park(slot) });
    return this.#vacate(slot);
  }

  /**
   * Puts a parked image back; its next step is the next turn's.
   *
   * @returns false where no parked image has this number
   * @throws {ConfigError} when there is no room for it
   */
  resume(id: number): boolean {
    const parked = this.#parked.get(id);
    if (!parked) return false;
    this.#requireRoom(parked.entry.image);
    this.#parked.delete(id);
    this.#batch.resume(parked.x, this.#slots.push(parked.entry) - 1);
    return true;
  }

  #slotOf(id: number): number {
    return this.#slots.findIndex(({ image }) => image.id === id);
  }

  #requireRoom({ guidance }: ImageJob): void {
    const free = this.rows - this.rowsInUse;
    if (networkRows(guidance) <= free) return;
    throw new ConfigError("rows", networkRows(guidance), `at most ${free}, which are free in the batch`);
  }

  #vacate(slot: number): boolean {
    if (slot < 0) return false;
    // The last image moves into the free slot, so that the slots in use stay the first ones.
    const last = this.#slots.pop();
    if (last && slot < this.#slots.length) {
      this.#batch.move(this.#slots.length, slot);
      this.#slots[slot] = last;
    }
    return true;
  }

  /**
   * Takes all images on by one or more steps: as many as fit into the time, and none beyond the next picture that
   * somebody waits for.
   *
   * @param milliseconds how long it should take; one step is always taken. Each turn waits for the device once, which
   *   costs Deno 10 ms or so
   * @throws {DeviceError} when the device fails; the batch is of no use then
   * @throws {Error} for a batch without images, or while another turn is under way
   */
  async turn(milliseconds: number): Promise<BatchTurn> {
    if (this.#slots.length === 0) throw new Error("a turn needs an image in the batch");
    if (this.#turning) throw new Error("a turn is under way");
    this.#turning = true;
    try {
      return await this.#turn(milliseconds);
    } finally {
      this.#turning = false;
    }
  }

  async #turn(milliseconds: number): Promise<BatchTurn> {
    const start = performance.now();
    // Images may join and leave while the device works; those that take part are these.
    const present = [...this.#slots];
    const most = Math.min(...present.map(stepsToNextPicture));
    const first = advance(this.#batch, present);
    const known = this.#stepTime.get(first.programRows);
    const affordable = known === undefined ? 1 : Math.max(1, Math.floor(milliseconds / known));
    const steps = Math.min(affordable, most);
    for (let done = 1; done < steps; done++) advance(this.#batch, present);
    const wanted = present.flatMap((entry, slot) => {
      const of = pictureAt(entry);
      return of ? [{ slot, of, entry }] : [];
    });
    const pictures = wanted.length > 0 ? await this.#batch.read(wanted) : [];
    if (wanted.length === 0) await this.#batch.settle();
    const [frames, finished]: [BatchPicture[], BatchPicture[]] = [[], []];
    wanted.forEach(({ entry }, i) => {
      const { image, done } = entry;
      if (!this.#slots.includes(entry) && this.#parked.get(image.id)?.entry !== entry) return;
      (isFinished(entry) ? finished : frames).push({ id: image.id, step: done - 1, data: pictures[i] });
    });
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

  /** Frees everything but the weights. */
  destroy(): void {
    this.#batch.destroy();
  }
}

/** What is to be shown after the step that an image has just taken, if anything. */
function pictureAt(entry: Entry): SlotPicture["of"] | undefined {
  if (isFinished(entry)) return "x";
  const { frames } = entry.image;
  if (!frames?.at.includes(entry.done - 1)) return undefined;
  return frames.kind === "noisy" ? "x" : "preview";
}

/** Steps from an image's next one to the first that shows something, that one included. */
function stepsToNextPicture({ image, plan, done }: Entry): number {
  const last = plan.length - 1;
  const next = image.frames?.at.find((at) => at >= done) ?? last;
  return Math.min(next, last) - done + 1;
}

/**
 * Powers of two, half-way sizes between them, and `rows` itself: no program is more than half again too large.
 * @throws {ConfigError} for `rows` below 1
 */
export function batchSizes(rows: number): number[] {
  if (!Number.isSafeInteger(rows) || rows < 1) throw new ConfigError("rows", rows, "a whole number from 1");
  const sizes: number[] = [];
  for (let size = 1; size < rows; size *= 2) {
    sizes.push(size);
    if (size > 1 && 1.5 * size < rows) sizes.push(1.5 * size);
  }
  return [...sizes, rows];
}
