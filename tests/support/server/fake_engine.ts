/** An engine without a GPU, whose steps a test triggers. */
import { guidanceStep, networkRows, rowsOfStep } from "../../../lib/diffusion/guidance.ts";
import { CIFAR10_CLASSES } from "../../../lib/data/cifar10.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import { OutOfMemory } from "../../../lib/gpu/budget.ts";
import { planImage } from "../../../lib/sampling/edits/edit_plan.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import type {
  Device,
  Engine,
  EngineListener,
  FrameRequest,
  ImageJob,
  Pixels,
  ServedModel,
} from "../../../server/engine/engine.ts";

/** Options of {@linkcode FakeEngine}. */
export interface FakeEngineOptions {
  /** Name of the model in requests; default `fake-model`. */
  readonly name?: string;
  /** The model is on the device; default true. */
  readonly resident?: boolean;
  /** The model was never read, until {@linkcode FakeEngine.describe}. */
  readonly unread?: boolean;
  /** Bytes that the model takes there, and whether they are known before; default 1, known. */
  readonly bytes?: number;
  readonly bytesKnown?: boolean;
  /** Batch size in network rows; default 8. */
  readonly rows?: number;
  /** Differences from {@linkcode fakeModel}. */
  readonly model?: Partial<ServedModel>;
  /** Milliseconds per automatic step; default: steps only by {@linkcode FakeEngine.tick}. */
  readonly automatic?: number;
  /** Reported seconds of a step by the rows of its program; default: 10 ms, or `automatic`. */
  readonly stepSeconds?: (programRows: number) => number;
}

/** A ten-class CIFAR-10 model of 32 x 32 pixels. */
export function fakeModel(changes: Partial<ServedModel> = {}): ServedModel {
  return {
    config: presetConfig("tiny", CIFAR10_CLASSES.length),
    schedule: new NoiseSchedule(),
    classes: CIFAR10_CLASSES,
    id: "fake-model-step-100",
    path: "/models/fake-model",
    step: 100,
    parameters: 123_456,
    digest: "0123456789abcdef".repeat(4),
    height: 32,
    width: 32,
    adapter: "fake adapter",
    precision: "float32",
    stepSeconds: 0.01,
    loadedAt: Date.UTC(2026, 0, 1),
    ...changes,
  };
}

/** The image that a {@linkcode FakeEngine} draws; depends only on label, seed and number of steps. */
export function fakePixels(
  { label, seed, steps }: Pick<ImageJob, "label" | "seed" | "steps">,
  size: Pick<ServedModel, "height" | "width"> = { height: 32, width: 32 },
): Pixels {
  return noise([...wordsOf(label), seed % 2 ** 32, Math.floor(seed / 2 ** 32), steps], size);
}

/** A frame of that image after step `step`. */
export function fakeFrame(
  { label, seed, steps }: Pick<ImageJob, "label" | "seed" | "steps">,
  kind: FrameRequest["kind"],
  step: number,
  size: Pick<ServedModel, "height" | "width"> = { height: 32, width: 32 },
): Pixels {
  const tag = kind === "noisy" ? 1 : 2;
  return noise([...wordsOf(label), seed % 2 ** 32, Math.floor(seed / 2 ** 32), steps, tag, step], size);
}

function wordsOf(label: ImageJob["label"]): number[] {
  return typeof label === "number" ? [label] : label.flatMap(({ label, weight }) => [label, 1000 * weight]);
}

interface Slot {
  readonly image: ImageJob;
  done: number;
}

/** Draws pseudorandom images; a tick is a step of the whole batch. */
export class FakeEngine implements Engine {
  readonly name: string;
  readonly rows: number;
  /** Error of the model's reading. */
  fault: Error | undefined;
  /** Error that {@linkcode FakeEngine.load} rejects with, if set. */
  loadError: Error | undefined;
  /** Bytes of the device that no model takes, asked at the end of a load. */
  room: () => number = () => Infinity;
  /** Called during a load, which it may let fail. */
  onLoad: () => void = () => {};
  /** Loads wait until a test calls {@linkcode FakeEngine.finishLoad}. */
  slowLoads = false;
  /** Weights that were set. */
  readonly shares: number[] = [];
  loads = 0;
  unloads = 0;
  /** Error that {@linkcode FakeEngine.reload} rejects with, if set. */
  reloadError: Error | undefined;
  /** All images added so far; the lists below have all ids removed, parked and resumed so far. */
  readonly added: ImageJob[] = [];
  readonly removed: number[] = [];
  readonly parked: number[] = [];
  readonly resumed: number[] = [];
  closed = false;
  #model: ServedModel | undefined;
  readonly #listeners: Partial<EngineListener>[] = [];
  readonly #batch = new Map<number, Slot>();
  readonly #parked = new Map<number, Slot>();
  readonly #automatic: number | undefined;
  readonly #stepSeconds: (programRows: number) => number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastModel: ServedModel;
  #resident: boolean;
  #bytes: number | undefined;
  readonly #takes: number;
  #loading = Promise.withResolvers<void>();

  constructor(options: FakeEngineOptions = {}) {
    const { rows = 8, model, automatic, stepSeconds, resident = true, bytes = 1, bytesKnown = true } =
      options;
    this.name = options.name ?? "fake-model";
    this.#resident = resident;
    this.#takes = bytes;
    this.#bytes = resident || bytesKnown ? bytes : undefined;
    this.rows = rows;
    this.#stepSeconds = stepSeconds ?? (() => (automatic ?? 10) / 1000);
    this.#automatic = automatic;
    this.#lastModel = fakeModel(model);
    this.#model = options.unread ? undefined : this.#lastModel;
  }

  get model(): ServedModel | undefined {
    return this.#model;
  }

  get ready(): boolean {
    return this.#resident && this.#model !== undefined;
  }

  get bytes(): number | undefined {
    return this.#bytes;
  }

  /** A device without limit that has this model alone. */
  get device(): Device {
    return { models: [this], memory: Infinity, close: () => this.close() };
  }

  share(weight: number): void {
    this.shares.push(weight);
  }

  async load(): Promise<ServedModel> {
    this.loads++;
    if (this.slowLoads) await this.#loading.promise;
    this.onLoad();
    if (this.loadError) throw this.loadError;
    if (this.#takes > this.room()) throw new OutOfMemory(`${this.name} needs ${this.#takes} bytes`);
    this.#bytes = this.#takes;
    this.#resident = true;
    this.#model = this.#lastModel; // back with the weights that it had, it is the same
    this.#tell("onUp", this.#lastModel);
    return this.#lastModel;
  }

  finishLoad(): void {
    this.#loading.resolve();
    this.#loading = Promise.withResolvers();
  }

  unload(): void {
    if (this.#batch.size + this.#parked.size > 0) throw new Error(`${this.name} has images, and is unloaded`);
    this.unloads++;
    this.#resident = false;
    this.#tell("onOff");
  }

  /** Images in the batch, oldest first. */
  get batch(): ImageJob[] {
    return [...this.#batch.values()].map(({ image }) => image);
  }

  listen(listener: Partial<EngineListener>): void {
    this.#listeners.push(listener);
  }

  add(image: ImageJob): void {
    if (!this.ready) throw new Error(`image ${image.id} was added to an engine that is down`);
    if (this.added.some(({ id }) => id === image.id)) throw new Error(`number ${image.id} is used twice`);
    this.added.push(image);
    this.#join({ image, done: 0 });
  }

  remove(id: number): void {
    this.removed.push(id);
    this.#batch.delete(id);
    this.#parked.delete(id);
  }

  park(id: number): void {
    const slot = this.#batch.get(id);
    if (!slot) throw new Error(`image ${id} is parked, and not in the batch`);
    this.parked.push(id);
    this.#batch.delete(id);
    this.#parked.set(id, slot);
  }

  resume(id: number): void {
    const slot = this.#parked.get(id);
    if (!slot) throw new Error(`image ${id} is resumed, and not parked`);
    this.resumed.push(id);
    this.#parked.delete(id);
    this.#join(slot);
  }

  #join(slot: Slot): void {
    const inUse = [...this.batch, slot.image].reduce(
      (sum, image) => sum + networkRows(image, this.#guided),
      0,
    );
    if (inUse > this.rows) throw new Error(`${inUse} rows are in use of ${this.rows}`);
    this.#batch.set(slot.image.id, slot);
    this.#schedule();
  }

  /** Runs steps. Each reports a turn, then frames, then finished images. */
  tick(steps = 1): void {
    for (let i = 0; i < steps; i++) this.#step();
  }

  /** Fails an image; by default the oldest in the batch. */
  fail(
    error: Error = new Error("the image has values that are not finite"),
    id = this.batch[0]?.id,
  ): void {
    if (id === undefined || !(this.#batch.delete(id) || this.#parked.delete(id))) {
      throw new Error(`image ${id} is not in the batch`);
    }
    this.#tell("onFailed", id, error);
  }

  /** Goes down, and loses all images. */
  down(error: Error = new Error("the GPU worker ended"), retryAfter = 1): void {
    this.#model = undefined;
    this.#resident = false;
    this.#batch.clear();
    this.#parked.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#tell("onDown", error, retryAfter);
  }

  /** Comes back up with the last model, or with changes to it, on the device. */
  up(changes: Partial<ServedModel> = {}): void {
    this.#resident = true;
    this.#model = this.#lastModel = { ...this.#lastModel, ...changes };
    this.#tell("onUp", this.#model);
  }

  /** Is read again without being loaded, perhaps with changes. */
  describe(changes: Partial<ServedModel> = {}): void {
    this.#model = this.#lastModel = { ...this.#lastModel, ...changes };
    this.#tell("onDescribed", this.#model);
  }

  reload(path: string = this.#lastModel.path): Promise<ServedModel> {
    if (this.reloadError) return Promise.reject(this.reloadError);
    if (path.includes("missing")) {
      return Promise.reject(new CheckpointError(`${path}: no model here`));
    }
    this.up({ path, loadedAt: this.#lastModel.loadedAt + 1000 });
    return Promise.resolve(this.#lastModel);
  }

  close(): Promise<void> {
    this.closed = true;
    this.#batch.clear();
    this.#parked.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return Promise.resolve();
  }

  #step(): void {
    if (this.#batch.size === 0) return;
    const stepped = [...this.#batch.values()];
    const rows = this.#evaluations();
    const programRows = 2 ** Math.ceil(Math.log2(rows));
    for (const slot of stepped) slot.done++;
    this.#tell("onTurn", {
      steps: 1,
      seconds: this.#stepSeconds(programRows),
      rows,
      programRows,
      images: stepped.map(({ image }) => image.id),
    });
    for (const { image, done } of stepped) {
      if (this.#holds(image.id) && image.frames?.at.includes(done - 1)) {
        const pixels = fakeFrame(image, image.frames.kind, done - 1, this.#lastModel);
        this.#tell("onFrame", image.id, done - 1, pixels);
      }
    }
    // In reverse, since the order is not guaranteed.
    for (const { image, done } of stepped.reverse()) {
      if (done === this.#stepsOf(image) && (this.#batch.delete(image.id) || this.#parked.delete(image.id))) {
        this.#tell("onImage", image.id, fakePixels(image, this.#lastModel));
      }
    }
    this.#tell("onTurnEnd");
  }

  #schedule(): void {
    if (this.#automatic === undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#step();
      if (this.#batch.size > 0) this.#schedule();
    }, this.#automatic);
  }

  /** In the batch or parked: listeners may park an image during the turn that is being reported. */
  #holds(id: number): boolean {
    return this.#batch.has(id) || this.#parked.has(id);
  }

  /** Steps of an image: those that it asks for, unless it is an edit. */
  #stepsOf(image: ImageJob): number {
    return image.edit ? planImage(this.#lastModel.schedule, image).length : image.steps;
  }

  get #guided(): boolean {
    return this.#lastModel.guide !== undefined;
  }

  /** Rows of the model's batch in a step, and of its guide's. */
  #evaluations(): number {
    const rows = (image: ImageJob) => rowsOfStep(guidanceStep(image, 1, -1, this.#guided));
    return this.batch.reduce((sum, image) => sum + rows(image), 0);
  }

  #tell<K extends keyof EngineListener>(event: K, ...args: Parameters<EngineListener[K]>): void {
    for (const listener of this.#listeners) {
      (listener[event] as ((...args: Parameters<EngineListener[K]>) => void) | undefined)?.(...args);
    }
  }
}

/** Pseudorandom bytes: Marsaglia's xorshift32, seeded by a hash of `key`. */
function noise(key: readonly number[], { height, width }: Pick<ServedModel, "height" | "width">): Pixels {
  let state = 0x9e3779b9;
  for (const part of key) state = Math.imul(state ^ part, 0x85ebca6b) + 0x165667b1;
  state = state >>> 0 || 1;
  const bytes = new Uint8Array(height * width * 3);
  for (let i = 0; i < bytes.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
