/**
 * `--profile` of the tasks: GPU time of each kernel while the task runs.
 *
 * @module
 */
import type { Gpu } from "../lib/gpu/device.ts";
import { Profiler, type ProfilerOptions } from "../lib/gpu/profile.ts";
import { writeDurable } from "../lib/files/durable.ts";
import type { TrainEvent } from "../mod.ts";
import { BYTES_NOTE, newProfile, profileLines } from "../terminal/profile_table.ts";
import { checkWritable } from "../terminal/pictures.ts";
import { chromeTrace, type TraceGroup } from "../terminal/profile_trace.ts";
import type { Reporter } from "../terminal/progress.ts";

/** Help text of `--profile [FILE]`. */
export const PROFILE_FLAG =
  "show the GPU time of each kernel; with FILE, also write a trace of every dispatch for chrome://tracing or Perfetto";

/** Optimizer steps to skip first, while kernels are compiled, and to profile. */
const TRAINING_STEPS = { skip: 2, take: 5 };

/** Sampling steps to skip before the one that is profiled. */
const SAMPLING_SKIP = 2;

/** Profile of a task; does nothing without `--profile`. */
export class TaskProfile {
  readonly #gpu: Gpu;
  /** Value of the flag: a file, true without one, undefined if profiling is off. */
  readonly #flag: string | true | undefined;
  #started: { readonly profiler: Profiler; readonly name: string } | undefined;

  private constructor(gpu: Gpu, flag: string | true | undefined) {
    this.#gpu = gpu;
    this.#flag = flag;
  }

  /**
   * Checks in advance that the file can be written.
   * @throws {ConfigError} naming the flag
   */
  static async create(gpu: Gpu, flag: string | true | undefined): Promise<TaskProfile> {
    if (typeof flag === "string") await checkWritable("--profile", flag);
    return new TaskProfile(gpu, flag);
  }

  /**
   * Profiles some of the replays that follow.
   *
   * @param name of the replayed program, e.g. `training step of tiny, batch 16`
   * @throws {DeviceError} if the adapter does not support timestamps
   */
  start(name: string, options: ProfilerOptions): void {
    if (this.#flag !== undefined) this.#started = { name, profiler: new Profiler(this.#gpu, options) };
  }

  /** Profiles a few early steps of a training run, and shows the result when they are done. */
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

  /** Profiles an early sampling step. */
  startSampling(images: number, steps: number): void {
    this.start(`sampling step, ${images} at once`, { skip: Math.min(SAMPLING_SKIP, steps - 1) });
  }

  /** Shows the table, and writes the trace file. */
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
