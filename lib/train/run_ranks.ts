/**
 * One run on several ranks, each with a device of its own: the micro-batches of each optimizer step are shared out, their
 * gradients are added in one order ({@linkcode evaluateTree}), and every rank makes the same update. The bits are those of one
 * process that computes all micro-batches.
 *
 * @module
 */
import { LogRecordLayout } from "../../kernels/records/layouts.ts";
import { decodeRecord, encodeRecord } from "../../kernels/records/record.ts";
import type { StepState } from "../../kernels/records/step_state.ts";
import type { ImageDataset } from "../data/dataset.ts";
import { sha256Of } from "../digest.ts";
import { ConfigError, TrainingError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { alignUp, type BufferView, type ResourceScope } from "../gpu/memory.ts";
import { readBack } from "../gpu/readback.ts";
import { type Communicator, gatherJson } from "../mpi/communicator.ts";
import { addGradients } from "./device/host_sum.ts";
import type { TrainingStep } from "./device/step.ts";
import { LOG_SLOTS } from "./device/step_graph.ts";
import { evaluateTree, type MicroRange, microRange, nodesOf } from "./device/summation_tree.ts";
import type { RunPlan } from "./run_plan.ts";
import { readFlat } from "./weight_transfer.ts";

const RECORD_WORDS = LogRecordLayout.bytes / 4;

/** Identity of a rank's part in a run: all of them must compute the same. */
interface RankIdentity {
  readonly adapter: string;
  readonly kernels: string;
  readonly data: string;
  readonly settings: string;
  readonly step: number;
}

/** Words for {@linkcode RankIdentity} in errors. */
const IDENTITY_WORDS: Readonly<Record<keyof RankIdentity, string>> = {
  adapter: "adapter",
  kernels: "kernels",
  data: "images (digest)",
  settings: "settings",
  step: "checkpoint's step",
};

/** A rank's part in the optimizer steps of a run. */
export class RunRanks {
  readonly #gpu: Gpu;
  readonly #communicator: Communicator;
  readonly #microBatches: number;
  readonly #ranges: readonly MicroRange[];
  readonly #step: TrainingStep;
  /** Trained part of a flat buffer: its first byte and its floats. */
  readonly #offset: number;
  readonly #floats: number;
  readonly #staging: GPUBuffer;
  /** The parts that are added here: of each rank's first sum, of each rank's second sum, …. */
  readonly #received: Float32Array<ArrayBuffer>[];
  /** The step's gradients. */
  readonly #whole: Float32Array<ArrayBuffer>;
  #stopping = false;

  /**
   * @param communicator of the run; its ranks are at most the micro-batches of a step
   * @param microBatches of an optimizer step, on all ranks together
   * @throws {DeviceError} if there is too little device memory
   */
  constructor(
    gpu: Gpu,
    scope: ResourceScope,
    step: TrainingStep,
    communicator: Communicator,
    microBatches: number,
  ) {
    this.#gpu = gpu;
    this.#step = step;
    this.#communicator = communicator;
    this.#microBatches = microBatches;
    this.#ranges = Array.from(
      { length: communicator.size },
      (_, rank) => microRange(microBatches, communicator.size, rank),
    );
    const { elements, firstTrained } = step.table;
    this.#offset = 4 * firstTrained;
    this.#floats = elements - firstTrained;
    const bytes = step.sums.length * alignUp(4 * this.#floats, 8) + alignUp(this.#recordBytes, 8);
    this.#staging = scope.buffer(bytes, "gradients read-back", "staging").buffer;
    const most = Math.max(...this.#ranges.map((range) => nodesOf(range, microBatches).length));
    this.#received = Array.from(
      { length: most },
      (_, i) => new Float32Array(this.#partsWith(i).length * this.#share),
    );
    this.#whole = new Float32Array(this.#floats);
  }

  /** The micro-batches that are computed here. */
  get range(): MicroRange {
    return this.#ranges[this.#communicator.rank]!;
  }

  /**
   * Checks that all ranks are about to compute the same run.
   * @throws {ConfigError} naming the first rank that is not, and in what
   */
  async checkIdentity({ settings, progress }: RunPlan, data: ImageDataset): Promise<void> {
    const own: RankIdentity = {
      adapter: this.#gpu.adapter.name,
      kernels: this.#step.kernels,
      data: data.digest,
      settings: JSON.stringify(settings),
      step: progress.step,
    };
    const [first, ...others] = await gatherJson(this.#communicator, own);
    for (const [i, other] of others.entries()) {
      for (const name of Object.keys(IDENTITY_WORDS) as (keyof RankIdentity)[]) {
        if (other[name] === first![name]) continue;
        const what = IDENTITY_WORDS[name];
        const expected = `the same ${what} on all ranks: rank 0 has ${first![name]}, rank ${
          i + 1
        } has another`;
        throw new ConfigError("ranks", other[name], expected);
      }
    }
  }

  /**
   * Checks that the weights of all ranks are the same, to the bit. Every rank must call it.
   *
   * @param staging buffer for the read-back
   * @throws {TrainingError} naming the first rank whose weights differ from those of rank 0
   */
  async checkWeights(staging: GPUBuffer): Promise<void> {
    const flat = await readFlat(this.#gpu, this.#step.weights.parameters, staging);
    const own = await sha256Of(new Uint8Array(flat.buffer));
    const [first, ...others] = await gatherJson(this.#communicator, own);
    const differing = others.findIndex((digest) => digest !== first);
    if (differing < 0) return;
    throw new TrainingError(
      `the weights of rank ${
        differing + 1
      } differ from those of rank 0: its device computes other bits, or is faulty`,
    );
  }

  get size(): number {
    return this.#communicator.size;
  }

  /** This rank's share of work that has parts, such as batches. */
  shareOf(parts: number): MicroRange {
    return microRange(parts, this.size, this.#communicator.rank);
  }

  /** True on the rank that writes and reports. */
  get isFirst(): boolean {
    return this.#communicator.rank === 0;
  }

  /** True once any rank has been asked to stop: all ranks learn it at the same step. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Step state of a micro-batch, whose loss gets a record of its own. */
  stateOf(state: StepState, micro: number): StepState {
    return { ...state, logSlot: LOG_SLOTS + micro, accumulate: 0 };
  }

  /**
   * Adds the gradients and losses of all micro-batches, once those of this rank have been submitted, and puts them where the
   * update expects them. Every rank must call it.
   *
   * @param state of the optimizer step
   * @param stop true if this rank has been asked to stop
   */
  async sum(state: StepState, stop: boolean): Promise<void> {
    const { first, end } = this.range;
    const records = { first: LOG_SLOTS + first, end: LOG_SLOTS + end };
    const size = 4 * this.#floats;
    const [log, ...sums] = await readBack(this.#gpu, [
      {
        ...this.#step.log,
        offset: this.#step.log.offset + LogRecordLayout.bytes * records.first,
        size: this.#recordBytes,
      },
      ...this.#step.sums.slice(0, nodesOf(this.range, this.#microBatches).length).map((
        { buffer, offset },
      ) => ({ buffer, offset: offset + this.#offset, size })),
    ], this.#staging);
    await this.#addLosses(state, new Float32Array(log!), stop); // one per view
    await this.#addGradients(sums.map((bytes) => new Float32Array(bytes)));
  }

  /**
   * Collects a number for each part of some work from the ranks that it was shared out to. Every rank must call it.
   *
   * @param own numbers of this rank's {@linkcode shareOf} the parts
   * @param stop true if this rank has been asked to stop
   * @returns the numbers in the order of the parts, in float32
   */
  async collect(own: readonly number[], parts: number, stop: boolean): Promise<Float32Array> {
    const words = this.#ranges.map((_, rank) => {
      const { first, end } = microRange(parts, this.size, rank);
      return 1 + end - first;
    });
    const whole = new Float32Array(parts + this.size);
    await this.#communicator.gather(Float32Array.of(stop ? 1 : 0, ...own), whole, words);
    return this.#withoutFlags(whole, words);
  }

  async #addLosses(state: StepState, own: Float32Array, stop: boolean): Promise<void> {
    const words = this.#ranges.map(({ first, end }) => 1 + RECORD_WORDS * (end - first));
    const whole = new Float32Array(words.reduce((sum, count) => sum + count, 0));
    const part = new Float32Array(1 + own.length);
    part[0] = stop ? 1 : 0;
    part.set(own, 1);
    await this.#communicator.gather(part, whole, words);
    const records = this.#withoutFlags(whole, words);
    let [lossSum, count] = [0, 0];
    for (let micro = 0; micro < this.#microBatches; micro++) {
      const record = decodeRecord(LogRecordLayout, records.buffer, micro);
      lossSum = Math.fround(lossSum + record.lossSum); // as kernels/loss.wgsl adds them
      count += record.count;
    }
    const { log } = this.#step;
    const total = encodeRecord(LogRecordLayout, {
      ...decodeRecord(LogRecordLayout, records.buffer, 0),
      ...{ lossSum, count },
    });
    const at = log.offset + LogRecordLayout.bytes * state.logSlot;
    this.#gpu.device.queue.writeBuffer(log.buffer, at, total);
  }

  /** Takes the ranks' wishes to stop out of what they have sent. */
  #withoutFlags(whole: Float32Array, words: readonly number[]): Float32Array<ArrayBuffer> {
    const rest = new Float32Array(whole.length - words.length);
    let [from, to] = [0, 0];
    for (const count of words) {
      if (whole[from] !== 0) this.#stopping = true;
      rest.set(whole.subarray(from + 1, from + count), to);
      from += count;
      to += count - 1;
    }
    return rest;
  }

  /** Adds the ranks' sums: each rank a share of the elements, which all then collect. */
  async #addGradients(sums: readonly Float32Array<ArrayBuffer>[]): Promise<void> {
    const shares = this.#ranges.map((_, to) => this.#elementsOf(to));
    const parts = new Map<string, Float32Array<ArrayBuffer>>();
    for (const [i, received] of this.#received.entries()) {
      const senders = this.#partsWith(i);
      await this.#communicator.exchange(
        sums[i] ?? new Float32Array(),
        shares.map(({ count }) => sums[i] ? count : 0),
        received,
        this.#ranges.map((_, from) => senders.includes(from) ? this.#share : 0),
      );
      for (const [at, from] of senders.entries()) {
        const { level, index } = nodesOf(this.#ranges[from]!, this.#microBatches)[i]!; // it has that many
        parts.set(`${level} ${index}`, received.subarray(at * this.#share, (at + 1) * this.#share));
      }
    }
    const own = evaluateTree(
      this.#microBatches,
      ({ level, index }) => parts.get(`${level} ${index}`),
      (left, right) => {
        addGradients(left, right);
        return left;
      },
    );
    await this.#communicator.gather(own, this.#whole, shares.map(({ count }) => count));
    const { buffer, offset }: BufferView = this.#step.sums[0]!; // the gradients of the update
    this.#gpu.device.queue.writeBuffer(buffer, offset + this.#offset, this.#whole);
  }

  /** Ranks that have more than `i` sums. */
  #partsWith(i: number): number[] {
    return [...this.#ranges.keys()].filter((rank) =>
      nodesOf(this.#ranges[rank]!, this.#microBatches).length > i
    );
  }

  /** Elements that a rank adds. */
  #elementsOf(rank: number): { first: number; count: number } {
    const { size } = this.#communicator;
    const at = (boundary: number) => Math.floor(boundary * this.#floats / size);
    return { first: at(rank), count: at(rank + 1) - at(rank) };
  }

  /** Number of elements that are added here. */
  get #share(): number {
    return this.#elementsOf(this.#communicator.rank).count;
  }

  get #recordBytes(): number {
    return LogRecordLayout.bytes * (this.range.end - this.range.first);
  }
}

/** Plan of a process that follows rank 0: it draws nothing and evaluates nothing. */
export function followingPlan(plan: RunPlan): RunPlan {
  return { ...plan, grids: { ...plan.grids, sampleEvery: 0, evaluateEvery: 0 } };
}
