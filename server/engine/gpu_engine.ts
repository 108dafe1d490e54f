/**
 * GPU engine: supervises the worker that owns the GPU and restarts it with exponential backoff when it fails.
 *
 * @module
 */
import { DeviceError } from "../../lib/errors.ts";
import type { BackendOptions } from "../../lib/gpu/backend.ts";
import type { Precision } from "../../lib/model/precision.ts";
import type { DrawDefaults } from "../../lib/sampling/request.ts";
import type { TuneMode, TuningProgress } from "../../lib/tuning/tuning.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { Engine, EngineListener, ImageJob, ServedModel } from "./engine.ts";
import { type Command, errorFrom, modelFrom, type Report } from "./protocol.ts";
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
  /** Model directory. */
  readonly path: string;
  /** Variant of its weights; undefined: as for `DDPM.load`. */
  readonly variant?: string;
  /** A second model for autoguidance of every model that is served; undefined: none. */
  readonly guide?: string;
  /** Network rows of the batch. */
  readonly rows: number;
  /** Called when an older checkpoint is loaded in place of a damaged file. Default `console.warn`. */
  readonly onWarning?: (message: string) => void;
  /** Defaults of requests; a model that they do not suit is not served. */
  readonly defaults?: DrawDefaults;
  /** WebGPU implementation. Default: the environment's choice. */
  readonly backend?: BackendOptions;
  /** Precision of the network; undefined: the adapter's default. */
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

/** Engine that draws on the GPU, in a worker. */
export class GpuEngine implements Engine {
  readonly rows: number;
  readonly #options: GpuEngineOptions;
  readonly #clock: Clock;
  readonly #listeners: Partial<EngineListener>[] = [];
  /** Requested model directory. */
  #path: string;
  #worker: WorkerLike | undefined;
  #model: ServedModel | undefined;
  /** Ids of images in the batch or parked; events of others are dropped. */
  readonly #images = new Set<number>();
  readonly #parked = new Set<number>();
  readonly #reloads = new Map<number, PromiseWithResolvers<ServedModel> & { readonly path: string }>();
  #lastReload = 0;
  /** Failures since the restart delay was last reset. */
  #failures = 0;
  #startedAt = 0;
  /** When it became ready, and how long that took, in milliseconds. */
  #readyAt = 0;
  #startTook = 0;
  #callOffRestart: () => void = () => {};
  readonly #watchdog: Watchdog;
  /** Milliseconds. */
  #longestTurn = 0;
  #onFirst: PromiseWithResolvers<void> | undefined = Promise.withResolvers();

  private constructor(options: GpuEngineOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#watchdog = new Watchdog(this.#clock);
    this.#path = options.path;
    this.rows = options.rows;
  }

  /**
   * Starts a worker; resolves when it serves the model.
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

  get model(): ServedModel | undefined {
    return this.#model;
  }

  listen(listener: Partial<EngineListener>): void {
    this.#listeners.push(listener);
  }

  add(image: ImageJob): void {
    if (!this.#model) throw new DeviceError("no image can be added while the GPU worker is down");
    this.#images.add(image.id);
    this.#send({ type: "add", image });
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

  async reload(path: string = this.#path): Promise<ServedModel> {
    if (!this.#model) {
      throw new DeviceError("the GPU worker is down; it reloads the model when it restarts");
    }
    const request = ++this.#lastReload;
    const reload = { ...Promise.withResolvers<ServedModel>(), path };
    this.#reloads.set(request, reload);
    this.#send({ type: "load", request, path });
    this.#watch();
    return await reload.promise;
  }

  close(): Promise<void> {
    this.#callOffRestart();
    this.#dismiss(new DeviceError("the engine was closed"));
    return Promise.resolve();
  }

  #send(command: Command): void {
    // A listener may have closed the engine.
    this.#worker?.postMessage(command);
  }

  #start(): void {
    const { startWorker = startGpuWorker, defaults = {}, backend = {}, tune = "auto" } = this.#options;
    const { variant, guide, precision } = this.#options;
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
    const model = { path: this.#path, variant, guide, precision };
    this.#send({ type: "start", ...model, rows: this.rows, defaults, backend, tune });
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
    return !this.#model || this.#reloads.size > 0;
  }

  #receive(report: Report): void {
    switch (report.type) {
      case "ready":
        this.#readyAt = this.#clock.now();
        this.#startTook = this.#readyAt - this.#startedAt;
        this.#serve(modelFrom(report.model));
        this.#watch();
        this.#onFirst?.resolve();
        this.#onFirst = undefined;
        break;
      case "turn":
        this.#tell("onTurn", report.turn);
        for (const { id, step, pixels } of report.frames) {
          if (this.#images.has(id)) this.#tell("onFrame", id, step, pixels);
        }
        for (const { id, pixels } of report.images) {
          if (this.#forget(id)) this.#tell("onImage", id, pixels);
        }
        for (const { id, error } of report.failed) {
          if (this.#forget(id)) this.#tell("onFailed", id, errorFrom(error));
        }
        this.#tell("onTurnEnd");
        this.#send({ type: "proceed" });
        this.#longestTurn = Math.max(this.#longestTurn, 1000 * report.turn.seconds);
        if (!this.#loading) this.#watch();
        break;
      case "failed":
        if (this.#forget(report.id)) this.#tell("onFailed", report.id, errorFrom(report.error));
        this.#restWhenIdle();
        break;
      case "loaded": {
        const { path, resolve } = this.#reloads.get(report.request)!;
        this.#reloads.delete(report.request);
        this.#path = path;
        const model = modelFrom(report.model);
        // Before listeners are called: images that they add are for the new model.
        this.#send({ type: "swap", request: report.request });
        this.#serve(model);
        this.#watch();
        resolve(model);
        break;
      }
      case "loadFailed":
        this.#reloads.get(report.request)!.reject(errorFrom(report.error));
        this.#reloads.delete(report.request);
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

  /** @returns false for an image whose events are dropped */
  #forget(id: number): boolean {
    this.#parked.delete(id);
    return this.#images.delete(id);
  }

  #serve(model: ServedModel): void {
    this.#model = model;
    this.#tell("onUp", model);
  }

  #fail(error: Error): void {
    const wasReady = this.#model !== undefined;
    this.#dismiss(error);
    if (this.#onFirst) {
      this.#onFirst.reject(error);
      return;
    }
    if (wasReady && this.#clock.now() - this.#readyAt >= SOUND_AFTER) this.#failures = 0;
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures++);
    this.#callOffRestart = this.#clock.after(pause, () => this.#start());
    this.#tell("onDown", error, Math.max(1, Math.ceil((pause + this.#startTook) / 1000)));
  }

  /** Terminates the worker and rejects its pending requests. */
  #dismiss(error: Error): void {
    this.#watchdog.pause();
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#model = undefined;
    this.#images.clear();
    this.#parked.clear();
    for (const { reject } of this.#reloads.values()) reject(error);
    this.#reloads.clear();
  }

  #tell<K extends keyof EngineListener>(event: K, ...args: Parameters<EngineListener[K]>): void {
    for (const listener of this.#listeners) {
      (listener[event] as ((...args: Parameters<EngineListener[K]>) => void) | undefined)?.(...args);
    }
  }
}
