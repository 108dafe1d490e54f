/**
 * `--profile` of the tasks: the time of each kernel while the task does its work.
 *
 * @module
 */
import type { Gpu } from "../lib/gpu/device.ts";
import { Profiler, type ProfilerOptions } from "../lib/gpu/profile.ts";
import { writeDurable } from "../lib/files/durable.ts";
import type { TrainEvent } from "../mod.ts";
import { BYTES_NOTE, newProfile, profileLines } from "../bench/report.ts";
import { checkWritable } from "./terminal/pictures.ts";
import { chromeTrace, type TraceGroup } from "./terminal/profile_trace.ts";
import type { Reporter } from "./terminal/progress.ts";

/** What `--profile [FILE]` says of itself. */
export const PROFILE_FLAG =
  "show the time of each kernel, and write a trace of every dispatch for chrome://tracing or Perfetto into a file";

/** Optimizer steps that run before those that are profiled, for kernels to be compiled, and how many these are. */
const TRAINING_STEPS = { skip: 2, take: 5 };

/** Steps of the first batch of images before the one that is profiled. */
const SAMPLING_SKIP = 2;

/** The profile of a task; does nothing where none was asked for. */
export class TaskProfile {
  readonly #gpu: Gpu;
  /** The flag's value: a file, true for none, undefined where nothing is to be profiled. */
  readonly #flag: string | true | undefined;
  #started: { readonly profiler: Profiler; readonly name: string } | undefined;

  private constructor(gpu: Gpu, flag: string | true | undefined) {
    this.#gpu = gpu;
    this.#flag = flag;
  }

  /**
   * Checks, before there is any work to lose, that the file can be written.
   * @throws {ConfigError} naming the flag
   */
  static async create(gpu: Gpu, flag: string | true | undefined): Promise<TaskProfile> {
    if (typeof flag === "string") await checkWritable("--profile", flag);
    return new TaskProfile(gpu, flag);
  }

  /**
   * Times some of the replays that follow.
   *
   * @param name what is replayed, e.g. `training step of tiny, batch 16`
   * @throws {DeviceError} when the adapter has no timestamps
   */
  start(name: string, options: ProfilerOptions): void {
    if (this.#flag !== undefined) this.#started = { name, profiler: new Profiler(this.#gpu, options) };
  }

  /** Profiles a few early steps of a training run, and shows them once they are done. */
  async on(event: TrainEvent, report: Reporter): Promise<void> {
    if (event.type === "start") {
      const { settings: { preset, batch, accumulate }, totalSteps, resumedFrom } = event;
      const steps = totalSteps - resumedFrom;
      const skip = Math.max(0, Math.min(TRAINING_STEPS.skip, steps - 1));
      const what = accumulate > 1 ? `pass (${accumulate} to a training step)` : "training step";
      this.start(`${what} of ${preset}, batch ${batch}`, {
        skip: accumulate * skip,
        take: accumulate * Math.max(1, Math.min(TRAINING_STEPS.take, steps - skip)),
      });
    }
    if (event.type === "end" || this.#started?.profiler.complete) await this.finish(report);
  }

  /** Profiles an early step of a batch of images. */
  startSampling(images: number, steps: number): void {
    this.start(`sampling step, ${images} at once`, { skip: Math.min(SAMPLING_SKIP, steps - 1) });
  }

  /** Shows the table and writes the file. */
  async finish(report: Reporter): Promise<void> {
    if (!this.#started) return;
    const { name, profiler } = this.#started;
    this.#started = undefined;
    const replays = await profiler.finish();
    const profile = newProfile(name, replays);
    report.event({ type: "profile", ...profile });
    const none = [`nothing to profile: no ${name} ran`];
    const lines = replays.length === 0 ? none : [...profileLines(profile), BYTES_NOTE];
    for (const line of lines) report.line(line);
    if (typeof this.#flag !== "string") return;
    await writeTrace(this.#flag, [{ name, replays }], this.#gpu.adapter.name);
    report.line(`profile for chrome://tracing or Perfetto: ${this.#flag}`);
  }
}

/** Writes a trace file. */
export async function writeTrace(
  path: string,
  groups: readonly TraceGroup[],
  adapter: string,
): Promise<void> {
  await writeDurable(path, new TextEncoder().encode(JSON.stringify(chromeTrace(groups, adapter)) + "\n"));
}
