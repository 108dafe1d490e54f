/**
 * Which kernels a device uses: those that suit by rule, or the fastest, found out once by timing them and kept.
 *
 * @module
 */
import { join } from "node:path";
import type { KernelTarget } from "../../kernels/target.ts";
import { ConfigError, DenoiseError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { kernelTarget } from "../graph/compile.ts";
import type { Graph } from "../graph/graph.ts";
import { TrialTimer } from "./trial_timer.ts";
import { type Choices, chooseFrom, type Measure, tune } from "./tune.ts";
import { keepTuning, readTuning, type TuningFile, tuningFile } from "./tuning_file.ts";

/** When kernels are tried out: `auto` on a GPU, where no rule can know what is the fastest; `on` everywhere; `off` never. */
export type TuneMode = "auto" | "on" | "off";

/** All modes. */
export const TUNE_MODES: readonly TuneMode[] = ["auto", "on", "off"];

/** Where the tasks keep what was found out, below the current directory. */
export const TUNING_DIRECTORY: string = join(".cache", "tuning");

/** The modes' meaning in help texts, to be followed by what choices mean for the results at hand. */
export const TUNE_HELP: string =
  `time the kernels that can be computed in several ways once, and keep the fastest in ${TUNING_DIRECTORY}/: ` +
  "auto on a GPU, 10 seconds at most; on anywhere, 2 minutes; off goes by rules and reads and writes nothing";

/** How kernels are chosen. */
export interface TuningOptions {
  /**
   * Whether the kernels that can be computed in several ways are timed once, and the fastest taken: `auto` (default) does
   * so on a GPU, for 10 seconds at most; `on` on any adapter, for 2 minutes at most; `off` goes by rules, and reads and
   * writes nothing. What the time does not suffice for goes by rules, and is tried the next time. Ways to compute the
   * same differ in how they round, so results are the same to the bit as long as the choices are.
   */
  readonly tune?: TuneMode;
  /** Directory where the choices are kept, a file for each adapter; without it they are as long as the device is. */
  readonly tuningDirectory?: string;
}

/** How far trying kernels is. */
export interface TuningProgress {
  /** Adapter that they are tried on. */
  readonly adapter: string;
  /** Kernels that the fastest way was found of. */
  readonly done: number;
  /** Kernels with several ways to compute them, that nothing was known of. */
  readonly total: number;
  /** Told once, at the end. */
  readonly finished?: {
    /** Seconds that it took. */
    readonly seconds: number;
    /** File that the choices are kept in, if they are. */
    readonly keptIn?: string;
  };
}

/** Seconds of one preparation. */
const LIMIT: Readonly<Record<Exclude<TuneMode, "off">, number>> = { auto: 10, on: 120 };

/** Choices that are kept in no file. */
const inMemory = new WeakMap<Gpu, Map<string, string>>();

/** What times trials. */
export interface Timer {
  readonly measure: Measure;
  destroy(): void;
}

/** How the tests time, and for how long. */
export interface TuningMeans {
  readonly startTimer?: (gpu: Gpu) => Timer;
  readonly limit?: number;
  readonly now?: () => number;
}

/** The choices of one device. */
export class Tuning {
  /** The kernel variants that suit the device, with the choices as they are when it is asked. */
  readonly target: KernelTarget;
  readonly #gpu: Gpu;
  readonly #choices: Map<string, string>;
  readonly #used = new Map<string, string>();
  /** Seconds that a preparation may take; 0 where nothing is to be tried. */
  readonly #limit: number;
  readonly #file: TuningFile | undefined;
  readonly #onWarning: (message: string) => void;
  readonly #means: TuningMeans;

  private constructor(
    gpu: Gpu,
    choices: Choices,
    parts: {
      limit?: number;
      file?: TuningFile;
      onWarning?: (message: string) => void;
      means?: TuningMeans;
    } = {},
  ) {
    this.#gpu = gpu;
    this.#choices = new Map(choices);
    this.#limit = parts.limit ?? 0;
    this.#file = parts.file;
    this.#onWarning = parts.onWarning ?? console.warn;
    this.#means = parts.means ?? {};
    const rule = kernelTarget(gpu);
    this.target = {
      ...rule,
      choose: (key, candidates) => {
        const choice = chooseFrom(this.#choices)(key, candidates);
        this.#used.set(key, choice);
        return choice;
      },
    };
  }

  /** Goes by given choices, and by rules for the rest; tries nothing. */
  static of(gpu: Gpu, choices: Choices = new Map()): Tuning {
    return new Tuning(gpu, choices);
  }

  /**
   * Reads what is known of a device.
   *
   * @param onWarning told when that is damaged, or what is found out cannot be kept
   * @throws {ConfigError} for an unknown mode
   */
  static async open(
    gpu: Gpu,
    { tune = "auto", tuningDirectory }: TuningOptions,
    onWarning: (message: string) => void,
    means: TuningMeans = {},
  ): Promise<Tuning> {
    checkTune(tune);
    if (tune === "off" || (tune === "auto" && gpu.adapter.software)) return Tuning.of(gpu);
    const file = tuningDirectory === undefined ? undefined : tuningFile(gpu, tuningDirectory);
    const choices = new Map([
      ...inMemory.get(gpu) ?? [],
      ...file ? await readTuning(file, onWarning) : [],
    ]);
    return new Tuning(gpu, choices, { limit: means.limit ?? LIMIT[tune], file, onWarning, means });
  }

  /** Whether kernels are tried. */
  get active(): boolean {
    return this.#limit > 0;
  }

  /** What kernels asked so far, and the answers. */
  get used(): Choices {
    return this.#used;
  }

  /**
   * Tries the kernels of some graphs that nothing is known of, and keeps what is found out.
   *
   * @param record records the graphs; not called where nothing is to be tried
   * @throws {DeviceError} when the device fails
   */
  async *prepare(record: () => readonly Graph[], signal?: AbortSignal): AsyncGenerator<TuningProgress> {
    if (!this.active) return;
    const { startTimer = (gpu: Gpu) => new TrialTimer(gpu), now = () => performance.now() } = this.#means;
    const adapter = this.#gpu.adapter.name;
    const start = now();
    const known = new Map(this.#choices);
    let timer: Timer | undefined;
    let anything = false;
    try {
      const search = tune(record(), {
        target: kernelTarget(this.#gpu),
        choices: this.#choices,
        measure: (trial) => (timer ??= startTimer(this.#gpu)).measure(trial),
        limit: this.#limit,
        signal,
        now,
      });
      for (;;) {
        const { done, value } = await search.next();
        if (!done) {
          anything = true;
          yield { adapter, ...value };
          continue;
        }
        if (!anything) return;
        const { decided, total } = value;
        const keptIn = decided.size > 0 ? await this.#keep(known, decided) : undefined;
        const seconds = (now() - start) / 1000;
        yield { adapter, done: decided.size, total, finished: { seconds, keptIn } };
        return;
      }
    } finally {
      timer?.destroy();
    }
  }

  /** The same for who does not want to hear of it on the way. */
  async tuned(
    record: () => readonly Graph[],
    onProgress: (progress: TuningProgress) => void = () => {},
  ): Promise<KernelTarget> {
    for await (const progress of this.prepare(record)) onProgress(progress);
    return this.target;
  }

  /** @returns the file that the choices are in, if any */
  async #keep(known: Choices, made: Choices): Promise<string | undefined> {
    if (this.#file) {
      try {
        const kept = await keepTuning(this.#file, known, made);
        for (const key of made.keys()) this.#choices.set(key, kept.get(key)!);
        return this.#file.path;
      } catch (error) {
        if (!(error instanceof DenoiseError)) throw error;
        this.#onWarning(`the kernels chosen are not kept for the next time: ${error.message}`);
      }
    }
    const memory = inMemory.get(this.#gpu) ?? new Map<string, string>();
    for (const [key, choice] of made) memory.set(key, choice);
    inMemory.set(this.#gpu, memory);
    return undefined;
  }
}

/**
 * Checks a mode.
 * @throws {ConfigError} for one that there is not
 */
function checkTune(tune: TuneMode): void {
  if (!TUNE_MODES.includes(tune)) throw new ConfigError("tune", tune, "auto, on or off");
}
