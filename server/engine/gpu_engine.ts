/**
 * GPU engine: supervises the worker that owns the GPU and its models, and restarts it with exponential backoff when it fails.
 *
 * @module
 */
import { DeviceError } from "../../lib/errors.ts";
import type { BackendOptions } from "../../lib/gpu/backend.ts";
import type { Precision } from "../../lib/model/precision.ts";
import type { DrawDefaults } from "../../lib/sampling/request.ts";
import type { TuneMode, TuningProgress } from "../../lib/tuning/tuning.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { Device, ImageJob, ServedModel } from "./engine.ts";
import { ModelEngine, type ModelHost } from "./model_engine.ts";
import { type Command, errorFrom, modelFrom, type Report } from "./protocol.ts";
import type { ModelSettings } from "../settings.ts";
import { Watchdog } from "./watchdog.ts";

/** First and maximum restart delay, in milliseconds. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
/** Uptime in milliseconds after which the restart delay is reset. */
const SOUND_AFTER = 60_000;
/** Turn timeout: the larger of a minimum in milliseconds and a multiple of the longest turn so far. */
const TURN_LIMIT = 60_000;
const TURN_FACTOR = 20;
/** Load timeout in milliseconds, including compilation of all kernels. */
const LOAD_LIMIT = 600_000;
/** Milliseconds until a model that could not be read is tried again. */
const REREAD_AFTER = 30_000;

/** The part of `Worker` that the engine uses. */
export interface WorkerLike {
  postMessage(command: Command): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Report>) => void): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  addEventListener(type: "messageerror", listener: (event: MessageEvent) => void): void;
  terminate(): void;
}

/** Options of {@linkcode GpuEngine.start}. */
export interface GpuEngineOptions {
  /** The models, one at least; the first is loaded at the start. */
  readonly models: readonly ModelSettings[];
  /** Variant of their weights; undefined: as for `DDPM.load`. */
  readonly variant?: string;
  /** Network rows of each batch. */
  readonly rows: number;
  /** Device memory for all models in bytes; undefined: as the adapter suggests. */
  readonly memory?: number;
  /** Called when an older checkpoint is loaded in place of a damaged file. Default `console.warn`. */
  readonly onWarning?: (message: string) => void;
  /** Called when the worker has failed, before the listeners of its models. */
  readonly onDown?: (error: Error, retryAfter: number) => void;
  /** Called when the worker is ready again, before the listeners of its models. */
  readonly onReady?: () => void;
  /** Called when a model other than the first cannot be read; it is tried again. */
  readonly onUnreadable?: (name: string, error: Error) => void;
  /** Defaults of requests; a model that they do not suit is not served. */
  readonly defaults?: DrawDefaults;
  /** WebGPU implementation. Default: the environment's choice. */
  readonly backend?: BackendOptions;
  /** Precision of the networks; undefined: the adapter's default. */
  readonly precision?: Precision;
  /** Autotuning mode. Default `auto`. */
  readonly tune?: TuneMode;
  /** Called with the progress of autotuning. */
  readonly onTuning?: (progress: TuningProgress) => void;
  /** For tests. */
  readonly startWorker?: () => WorkerLike;
  /** For tests. */
  readonly clock?: Clock;
}

function startGpuWorker(): WorkerLike {
  return new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "gpu" });
}

/** A model that the worker is to load or read. */
interface Reading extends PromiseWithResolvers<ServedModel> {
  readonly model: ModelEngine;
  readonly source: ModelSettings;
}

/** Engine that draws on the GPU, in a worker. */
export class GpuEngine implements Device, ModelHost {
  readonly rows: number;
  readonly models: readonly ModelEngine[];
  readonly #options: GpuEngineOptions;
  readonly #clock: Clock;
  #worker: WorkerLike | undefined;
  #up = false;
  #memory: number | undefined;
  /** Models of the images in the batch or parked, by the images' ids; events of others are dropped. */
  readonly #images = new Map<number, ModelEngine>();
  readonly #parked = new Set<number>();
  readonly #readings = new Map<number, Reading>();
  #lastReading = 0;
  /** Failures since the restart delay was last reset. */
  #failures = 0;
  /** Index of the model that a worker loads first; another where that one fails. */
  #first = 0;
  #startedAt = 0;
  /** When it became ready, and how long that took, in milliseconds. */
  #readyAt = 0;
  #startTook = 0;
  #callOffRestart: () => void = () => {};
  #callOffRereading: () => void = () => {};
  readonly #watchdog: Watchdog;
  /** Milliseconds. */
  #longestTurn = 0;
  #onFirst: PromiseWithResolvers<void> | undefined = Promise.withResolvers();

  private constructor(options: GpuEngineOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#watchdog = new Watchdog(this.#clock);
    this.rows = options.rows;
    this.models = options.models.map((source) => new ModelEngine(this, source));
  }

  /**
   * Starts a worker; resolves when it serves the first model. The others are read then, which listeners are told of.
   *
   * @throws {CheckpointError | ConfigError | DeviceError} when the first start fails; later failures go to
   *   listeners
   */
  static async start(options: GpuEngineOptions): Promise<GpuEngine> {
    const engine = new GpuEngine(options);
    const { promise } = engine.#onFirst!;
    engine.#start();
    await promise;
    return engine;
  }

  get up(): boolean {
    return this.#up;
  }

  get memory(): number | undefined {
    return this.#memory;
  }

  add(model: ModelEngine, image: ImageJob): void {
    if (!this.#up) throw new DeviceError("no image can be added while the GPU worker is down");
    if (!model.ready) throw new DeviceError(`the model ${model.name} is not on the device`);
    this.#images.set(image.id, model);
    this.#send({ type: "add", model: model.name, image });
    this.#watchdog.resume();
  }

  remove(id: number): void {
    if (!this.#forget(id)) return;
    this.#send({ type: "remove", id });
    this.#restWhenIdle();
  }

  park(id: number): void {
    if (!this.#images.has(id)) return;
    this.#parked.add(id);
    this.#send({ type: "park", id });
    this.#restWhenIdle();
  }

  resume(id: number): void {
    if (!this.#parked.delete(id)) return;
    this.#send({ type: "resume", id });
    this.#watchdog.resume();
  }

  share(model: ModelEngine, weight: number): void {
    this.#send({ type: "share", model: model.name, weight });
  }

  async read(how: "load" | "describe", model: ModelEngine, source: ModelSettings): Promise<ServedModel> {
    if (!this.#up) {
      throw new DeviceError("the GPU worker is down; it reloads the model when it restarts");
    }
    const request = ++this.#lastReading;
    const reading = { ...Promise.withResolvers<ServedModel>(), model, source };
    this.#readings.set(request, reading);
    this.#send({ type: how, request, model: source });
    this.#watch();
    return await reading.promise;
  }

  unload({ name }: ModelEngine): void {
    this.#send({ type: "unload", model: name });
  }

  close(): Promise<void> {
    this.#callOffRestart();
    this.#callOffRereading();
    this.#dismiss(new DeviceError("the engine was closed"));
    for (const model of this.models) model.close();
    return Promise.resolve();
  }

  #send(command: Command): void {
    // A listener may have closed the engine.
    this.#worker?.postMessage(command);
  }

  #start(): void {
    const { startWorker = startGpuWorker, defaults = {}, backend = {}, tune = "auto" } = this.#options;
    const { variant, precision, memory } = this.#options;
    const worker = startWorker();
    this.#worker = worker;
    this.#startedAt = this.#clock.now();
    // Messages of a dismissed worker may still arrive.
    const present = () => this.#worker === worker;
    worker.addEventListener("message", ({ data }) => {
      if (present()) this.#receive(data);
    });
    worker.addEventListener("error", (event) => {
      // Otherwise the error would also terminate this thread.
      event.preventDefault();
      if (present()) this.#fail(new DeviceError(`the GPU worker failed: ${event.message}`));
    });
    worker.addEventListener("messageerror", () => {
      if (present()) this.#fail(new DeviceError("the GPU worker sent an unreadable message"));
    });
    const { source: model } = this.models[this.#first]!; // an index
    const options = { variant, rows: this.rows, memory, defaults, backend, precision, tune };
    this.#send({ type: "start", model, ...options });
    this.#watch();
  }

  /** Restarts the watchdog for the worker's next message; a worker that misses it counts as crashed. */
  #watch(): void {
    if (!this.#worker) return; // a listener has closed the engine
    const [limit, what] = this.#loading
      ? [LOAD_LIMIT, "has not loaded the model"]
      : [Math.max(TURN_LIMIT, TURN_FACTOR * this.#longestTurn), "has taken no step"];
    const onLate = () =>
      this.#fail(new DeviceError(`the GPU worker ${what} for ${Math.round(limit / 1000)} s`));
    this.#watchdog.wait(limit, onLate);
    this.#restWhenIdle();
  }

  /**
   * Pauses the watchdog while the batch is empty. Only a turn resets it: with a hung worker, images cancelled one after
   * the other must not restart it each time.
   */
  #restWhenIdle(): void {
    if (this.#images.size === this.#parked.size && !this.#loading) this.#watchdog.pause();
  }

  get #loading(): boolean {
    return !this.#up || this.#readings.size > 0;
  }

  #receive(report: Report): void {
    switch (report.type) {
      case "ready": {
        const first = this.models[this.#first]!; // the one that was to be started with
        this.#up = true;
        this.#memory = report.memory;
        this.#readyAt = this.#clock.now();
        this.#startTook = this.#readyAt - this.#startedAt;
        this.#options.onReady?.();
        first.loaded(first.source, modelFrom(report.model), report.bytes);
        this.#watch();
        this.#onFirst?.resolve();
        this.#onFirst = undefined;
        this.#readOthers();
        break;
      }
      case "turn": {
        const model = this.models.find(({ name }) => name === report.model)!;
        model.tell("onTurn", report.turn);
        for (const { id, step, pixels } of report.frames) {
          if (this.#images.has(id)) model.tell("onFrame", id, step, pixels);
        }
        for (const { id, pixels } of report.images) {
          if (this.#forget(id)) model.tell("onImage", id, pixels);
        }
        for (const { id, error } of report.failed) {
          if (this.#forget(id)) model.tell("onFailed", id, errorFrom(error));
        }
        model.tell("onTurnEnd");
        this.#send({ type: "proceed" });
        this.#longestTurn = Math.max(this.#longestTurn, 1000 * report.turn.seconds);
        if (!this.#loading) this.#watch();
        break;
      }
      case "failed": {
        const model = this.#forget(report.id);
        model?.tell("onFailed", report.id, errorFrom(report.error));
        this.#restWhenIdle();
        break;
      }
      case "loaded": {
        const { model, source, resolve } = this.#taken(report.request);
        const facts = modelFrom(report.model);
        // Before listeners are called: images that they add are for the new model.
        this.#send({ type: "swap", request: report.request, model: model.name });
        model.loaded(source, facts, report.bytes);
        this.#watch();
        resolve(model.model ?? facts);
        break;
      }
      case "described": {
        const { model, source, resolve } = this.#taken(report.request);
        const facts = modelFrom(report.model);
        model.described(source, facts);
        this.#watch();
        resolve(facts);
        break;
      }
      case "loadFailed":
        this.#taken(report.request).reject(errorFrom(report.error));
        this.#watch();
        break;
      case "warning":
        (this.#options.onWarning ?? console.warn)(report.message);
        break;
      case "tuning":
        this.#options.onTuning?.(report.progress);
        break;
      case "fatal":
        this.#fail(errorFrom(report.error));
        break;
    }
  }

  /** A reading that has ended. */
  #taken(request: number): Reading {
    const reading = this.#readings.get(request)!;
    this.#readings.delete(request);
    return reading;
  }

  /** Reads the models that no worker has read yet; those that cannot be are tried again. */
  #readOthers(): void {
    this.#callOffRereading();
    const unknown = this.models.filter(({ known }) => !known);
    for (const model of unknown) {
      this.read("describe", model, model.source).catch((error: Error) => {
        if (!this.#up) return; // read again when it is
        const isNews = model.fault?.message !== error.message;
        model.failed(error);
        if (isNews) this.#options.onUnreadable?.(model.name, error);
        this.#callOffRereading();
        this.#callOffRereading = this.#clock.after(REREAD_AFTER, () => this.#readOthers());
      });
    }
  }

  /** @returns the model of an image; undefined for an image whose events are dropped */
  #forget(id: number): ModelEngine | undefined {
    const model = this.#images.get(id);
    this.#parked.delete(id);
    this.#images.delete(id);
    return model;
  }

  #fail(error: Error): void {
    const wasReady = this.#up;
    this.#dismiss(error);
    if (this.#onFirst) {
      this.#onFirst.reject(error);
      return;
    }
    if (wasReady && this.#clock.now() - this.#readyAt >= SOUND_AFTER) this.#failures = 0;
    // A worker that was not ready may have failed for its first model.
    this.#first = wasReady ? 0 : (this.#first + 1) % this.models.length;
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures++);
    this.#callOffRestart = this.#clock.after(pause, () => this.#start());
    const retryAfter = Math.max(1, Math.ceil((pause + this.#startTook) / 1000));
    this.#options.onDown?.(error, retryAfter);
    for (const model of this.models) model.down(error, retryAfter);
  }

  /** Terminates the worker and rejects its pending requests. */
  #dismiss(error: Error): void {
    this.#watchdog.pause();
    this.#callOffRereading();
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#up = false;
    this.#images.clear();
    this.#parked.clear();
    for (const { reject } of this.#readings.values()) reject(error);
    this.#readings.clear();
  }
}
