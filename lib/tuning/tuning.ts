/**
 * Kernel selection of a device: the defaults, or the fastest variants found by autotuning and cached in a file.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import { ConfigError, DenoiseError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { kernelTarget } from "../graph/compile.ts";
import type { Graph } from "../graph/graph.ts";
import { AUTO_LIMIT, fixedLimit, ON_LIMIT, type TimeLimit } from "./time_limit.ts";
import { TrialTimer } from "./trial_timer.ts";
import { type Choices, chooseFrom, type Measure, tune } from "./tune.ts";

/** Autotuning mode: `auto` tunes on GPUs, where the fastest variant is hard to predict; `on` on any adapter; `off` never. */
export type TuneMode = "auto" | "on" | "off";

/** All autotuning modes. */
export const TUNE_MODES: readonly TuneMode[] = ["auto", "on", "off"];

/** Directory of the tasks' tuning cache, relative to the current directory. */
export const TUNING_DIRECTORY = ".cache/tuning";

/** Help text on the modes; callers append the effect of the choices on their results. */
export const TUNE_HELP: string =
  `autotuning: time the variants of each kernel once and cache the fastest in ${TUNING_DIRECTORY}/; ` +
  "auto: on GPUs, 10 seconds at most, 2 to continue what an earlier start left, more for a run of many minutes (5 % of it, 2 " +
  "minutes at most); on: on any adapter, 2 minutes at most; off: default variants, no cache";

/** Options of kernel selection. */
export interface TuningOptions {
  /**
   * Autotuning of kernel variants, once per adapter: `auto` (default) on GPUs, for 10 seconds at most, 2 to continue what an
   * earlier start left open, and longer before a long run: up to 5 % of its expected time, 2 minutes at most; `on` on any
   * adapter, for 2 minutes at most; `off` uses the defaults and neither reads nor writes the cache. Choices that the time
   * limit leaves open use the defaults and are tuned at the next start. Variants round differently, so results have the same
   * bits only while the choices stay the same; hence all tuning precedes the first step.
   */
  readonly tune?: TuneMode;
  /** Directory of the tuning cache, one file per adapter; if absent, choices live as long as the device. */
  readonly tuningDirectory?: string;
}

/** Cache of a device's choices. */
export interface TuningStore {
  /** Its file, or whatever it is known by. */
  readonly path: string;
  /** Reads the choices; empty if there are none, and, with a warning, if they cannot be read. */
  read(onWarning: (message: string) => void): Promise<Choices>;
  /**
   * Adds choices, and returns all.
   * @param known choices read before; those that still equal them are replaced
   * @throws {DenoiseError} if they cannot be written
   */
  keep(known: Choices, made: Choices): Promise<Choices>;
}

/** Options of {@linkcode Tuning.open}. */
export interface TuningSetup extends Pick<TuningOptions, "tune"> {
  /** Returns the device's cache; called if tuning is enabled. Default: choices live as long as the device. */
  readonly store?: (gpu: Gpu) => TuningStore;
}

/** Progress of autotuning. */
export interface TuningProgress {
  /** Adapter name. */
  readonly adapter: string;
  /** Choices made. */
  readonly done: number;
  /** Choices to make, as far as known. */
  readonly total: number;
  /** Present while tuning continues past the usual time limit because the run is long. */
  readonly extended?: {
    /** Expected duration of the run in seconds. */
    readonly runSeconds: number;
    /** Time limit of tuning in seconds. */
    readonly limitSeconds: number;
  };
  /** Present in the last event only. */
  readonly finished?: {
    /** Duration in seconds. */
    readonly seconds: number;
    /** Cache file that the choices were written to, if any. */
    readonly keptIn?: string;
  };
}

/** Time limits of one {@linkcode Tuning.prepare} by mode. */
const LIMITS: Readonly<Record<Exclude<TuneMode, "off">, TimeLimit>> = { auto: AUTO_LIMIT, on: ON_LIMIT };
/** Seconds between writes of the cache, so that a killed process loses little. */
const KEEP_EVERY = 2;

/** Choices without a cache file, by device. */
const inMemory = new WeakMap<Gpu, Map<string, string>>();

/** Times trials; see {@linkcode TrialTimer}. */
export interface Timer {
  readonly measure: Measure;
  destroy(): void;
}

/** Substitutes for timer, time limit in seconds, and clock in milliseconds; for tests. */
export interface TuningMeans {
  readonly startTimer?: (gpu: Gpu) => Timer;
  readonly limit?: number;
  readonly now?: () => number;
}

/** Options of {@linkcode Tuning.prepare}. */
export interface PrepareOptions {
  /** Number of runs of each graph; default 1. Long runs are tuned for longer. */
  readonly runs?: readonly number[];
  /** Stops tuning after the current trial. */
  readonly signal?: AbortSignal;
}

/** Kernel selection of one device. */
export class Tuning {
  /** Kernel variants; each lookup uses the choices known at that time. */
  readonly target: KernelTarget;
  readonly #gpu: Gpu;
  readonly #choices: Map<string, string>;
  readonly #used = new Map<string, string>();
  /** Absent if tuning is disabled. */
  readonly #limit: TimeLimit | undefined;
  readonly #store: TuningStore | undefined;
  /** True once a failure to write the cache was reported; it is written repeatedly. */
  #warned = false;
  readonly #onWarning: (message: string) => void;
  readonly #means: TuningMeans;

  private constructor(
    gpu: Gpu,
    choices: Choices,
    parts: {
      limit?: TimeLimit;
      store?: TuningStore;
      onWarning?: (message: string) => void;
      means?: TuningMeans;
    } = {},
  ) {
    this.#gpu = gpu;
    this.#choices = new Map(choices);
    this.#limit = parts.limit;
    this.#store = parts.store;
    this.#onWarning = parts.onWarning ?? console.warn;
    this.#means = parts.means ?? {};
    this.target = {
      ...kernelTarget(gpu),
      choose: (key, candidates) => {
        const choice = chooseFrom(this.#choices)(key, candidates);
        this.#used.set(key, choice);
        return choice;
      },
    };
  }

  /** Uses the given choices, and defaults for the rest; never tunes. */
  static of(gpu: Gpu, choices: Choices = new Map()): Tuning {
    return new Tuning(gpu, choices);
  }

  /**
   * Reads the cached choices of a device.
   *
   * @param onWarning called if the cache is damaged, or cannot be read or written
   * @throws {ConfigError} for an unknown mode
   */
  static async open(
    gpu: Gpu,
    { tune = "auto", store: storeOf }: TuningSetup,
    onWarning: (message: string) => void,
    means: TuningMeans = {},
  ): Promise<Tuning> {
    checkTune(tune);
    if (tune === "off" || (tune === "auto" && gpu.adapter.software)) return Tuning.of(gpu);
    const store = storeOf?.(gpu);
    const choices = new Map([
      ...inMemory.get(gpu) ?? [],
      ...await store?.read(onWarning) ?? [],
    ]);
    const limit = means.limit === undefined ? LIMITS[tune] : fixedLimit(means.limit);
    return new Tuning(gpu, choices, { limit, store, onWarning, means });
  }

  /** True if this device tunes kernels. */
  get active(): boolean {
    return this.#limit !== undefined;
  }

  /** All choices that are known, requested or not. */
  get choices(): Choices {
    return this.#choices;
  }

  /** Choices requested so far. */
  get used(): Choices {
    return this.#used;
  }

  /**
   * Tunes the graphs' kernels without a known choice, and caches the result, also when it ends early.
   *
   * @param record records the graphs; not called if tuning is disabled
   * @throws {DeviceError} if the device fails
   */
  async *prepare(
    record: () => readonly Graph[],
    { runs = [], signal }: PrepareOptions = {},
  ): AsyncGenerator<TuningProgress> {
    const limit = this.#limit;
    if (!limit) return;
    const { startTimer = (gpu: Gpu) => new TrialTimer(gpu), now = () => performance.now() } = this.#means;
    const adapter = this.#gpu.adapter.name;
    const start = now();
    const seconds = () => (now() - start) / 1000;
    const saved = new Map(this.#choices);
    let timer: Timer | undefined;
    let started = false;
    let [keptAt, keptIn]: [number, string | undefined] = [0, undefined];
    const keep = async () => {
      keptAt = seconds();
      keptIn = await this.#keep(saved) ?? keptIn;
    };
    try {
      const search = tune(record().map((g, i) => ({ g, runs: runs[i] ?? 1 })), {
        target: kernelTarget(this.#gpu),
        choices: this.#choices,
        measure: (trial) => (timer ??= startTimer(this.#gpu)).measure(trial),
        limit: limit.seconds,
        signal,
        now,
      });
      for (;;) {
        const { done, value } = await search.next();
        if (done) {
          if (!started) return;
          await keep();
          const { decided, total } = value;
          yield { adapter, done: decided.size, total, finished: { seconds: seconds(), keptIn } };
          return;
        }
        started = true;
        if (seconds() - keptAt >= KEEP_EVERY) await keep();
        const { estimate, ...progress } = value;
        const extended = { runSeconds: estimate.seconds, limitSeconds: limit.seconds(estimate) };
        const past = seconds() >= limit.usualSeconds(estimate);
        yield { adapter, ...progress, ...past ? { extended } : {} };
      }
    } finally {
      timer?.destroy();
      // The caller has left the loop, or the device has failed.
      await keep();
    }
  }

  /** Runs {@linkcode Tuning.prepare} to its end, with progress as a callback. */
  async tuned(
    record: () => readonly Graph[],
    onProgress: (progress: TuningProgress) => void = () => {},
    options: PrepareOptions = {},
  ): Promise<KernelTarget> {
    for await (const progress of this.prepare(record, options)) onProgress(progress);
    return this.target;
  }

  /**
   * Caches the choices that are not in `saved`, if any, and adds them there.
   * @returns the file that they were written to, if any
   */
  async #keep(saved: Map<string, string>): Promise<string | undefined> {
    const made = new Map([...this.#choices].filter(([key, choice]) => saved.get(key) !== choice));
    if (made.size === 0) return undefined;
    const path = await this.#write(saved, made);
    for (const key of made.keys()) saved.set(key, this.#choices.get(key)!);
    return path;
  }

  async #write(known: Choices, made: Choices): Promise<string | undefined> {
    if (this.#store) {
      try {
        const kept = await this.#store.keep(known, made);
        for (const key of made.keys()) this.#choices.set(key, kept.get(key)!);
        return this.#store.path;
      } catch (error) {
        if (!(error instanceof DenoiseError)) throw error;
        if (!this.#warned) this.#onWarning(`kernel choices could not be cached: ${error.message}`);
        this.#warned = true;
      }
    }
    const memory = inMemory.get(this.#gpu) ?? new Map<string, string>();
    for (const [key, choice] of made) memory.set(key, choice);
    inMemory.set(this.#gpu, memory);
    return undefined;
  }
}

/**
 * @throws {ConfigError} for an unknown mode
 */
function checkTune(tune: TuneMode): void {
  if (!TUNE_MODES.includes(tune)) throw new ConfigError("tune", tune, "auto, on or off");
}
