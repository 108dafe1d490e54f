/**
 * The report that a run keeps of itself, `report.html` in its directory.
 *
 * @module
 */
import { join } from "node:path";
import type { TrainEvent } from "../mod.ts";
import { REPORT, writeReport } from "../lib/report/write_report.ts";
import { warn } from "../terminal/pictures.ts";
import type { Reporter } from "../terminal/progress.ts";
import { runCommands } from "./run_commands.ts";

/** Limit on the share of a run's time spent on its report, except at the end. */
const SHARE = 0.02;

/** Events after which a report would say more. */
const NEWS: readonly TrainEvent["type"][] = ["epoch", "samples", "evaluation"];

/** Writes a run's report as it goes. A failure is a warning, once. */
export class RunReport {
  /** Path of the file. */
  readonly path: string;
  readonly #out: string;
  readonly #report: Reporter;
  readonly #now: () => number;
  #hasNews = false;
  /** True after the first step, of a process before this one perhaps: before, there is nothing to report. */
  #hasSteps = false;
  #warned = false;
  /** Milliseconds at the end of the last write, and what it took. */
  #written: number;
  #took = 0;

  /** @param now milliseconds; for tests */
  constructor(report: Reporter, out: string, now: () => number = () => performance.now()) {
    this.#report = report;
    this.#out = out;
    this.#now = now;
    this.#written = now();
    this.path = join(out, REPORT);
  }

  /** Handles an event: writes after an epoch, its samples or its evaluation, but at the next step, when all of them are there. */
  async on(event: TrainEvent): Promise<void> {
    if (NEWS.includes(event.type)) this.#hasNews = true;
    if (stepsAt(event) > 0) this.#hasSteps = true;
    if (event.type !== "step") return;
    if (this.#hasNews && this.#now() - this.#written >= this.#took / SHARE) await this.write();
  }

  /**
   * Writes the report now.
   *
   * @returns true if it is written
   */
  async write(): Promise<boolean> {
    if (!this.#hasSteps && !this.#hasNews) return false;
    const began = this.#now();
    try {
      await writeReport(this.path, [this.#out], runCommands);
      return true;
    } catch (error) {
      if (!this.#warned) warn(this.#report, `${this.path}: not written (${(error as Error).message})`);
      this.#warned = true;
      return false;
    } finally {
      this.#hasNews = false;
      this.#written = this.#now();
      this.#took = this.#written - began;
    }
  }
}

/** Optimizer steps done at an event, 0 if it does not say. */
function stepsAt(event: TrainEvent): number {
  if (event.type === "start") return event.resumedFrom;
  return "step" in event ? event.step : 0;
}
