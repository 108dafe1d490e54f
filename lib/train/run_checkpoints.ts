/**
 * Checkpoints of a run as it goes, and the best model among them.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import { removeOldCheckpoints, saveCheckpoint } from "../files/checkpoint.ts";
import { removeEmaSnapshots, writeEmaSnapshot } from "../files/ema_snapshots.ts";
import { bestDirectory, publishBest } from "../files/publish.ts";
import type { WeightTensor } from "../files/weights.ts";
import type { CheckpointEvent, EndEvent } from "./events.ts";
import type { RunSaves, SavedParts } from "./run_keeping.ts";
import { emaSnapshotIsDue } from "./snapshot_schedule.ts";
import { captureCheckpoint } from "./state.ts";
import { readTensors } from "./weight_transfer.ts";

/** Saves a run that has a directory. */
export class RunCheckpoints implements RunSaves {
  readonly #parts: SavedParts;
  readonly #directory: string;
  /** Optimizer steps done at the last checkpoint. */
  #savedStep: number | undefined;

  private constructor(parts: SavedParts, directory: string) {
    this.#parts = parts;
    this.#directory = directory;
    this.#savedStep = parts.plan.savedStep;
  }

  /**
   * Prepares to save a run; undefined if it has no directory. Ends a save that was interrupted before it had published the best
   * model, or removed old checkpoints, and removes snapshots that the run will write again.
   *
   * @param from directory of the checkpoint that the run was resumed from, if any
   * @throws {CheckpointError} if the best model cannot be written, or a snapshot not removed
   */
  static async open(parts: SavedParts, from: string | undefined): Promise<RunCheckpoints | undefined> {
    const { options: { out }, plan: { progress, settings }, warnings } = parts;
    if (out === undefined) return undefined;
    await removeEmaSnapshots(out, progress.step);
    if (from !== undefined && progress.best?.step === progress.step) await publishBest(out, from);
    if (from !== undefined) {
      await removeOldCheckpoints(out, progress.step, settings.keep).catch((error) => {
        // The next save tries again.
        if (!(error instanceof CheckpointError)) throw error;
        warnings.push(error.message);
      });
    }
    return new RunCheckpoints(parts, out);
  }

  /**
   * Writes a snapshot of the averages with power-function profiles, if one is due after the last finished epoch. Before the
   * checkpoint: a run resumed from the one before writes it again.
   *
   * @throws {CheckpointError} if it cannot be written
   */
  async saveSnapshot(): Promise<void> {
    const { gpu, step, staging, plan, warnings } = this.#parts;
    const { emaProfiles: sigmas } = plan.settings;
    if (sigmas === null || !emaSnapshotIsDue(plan)) return;
    const averages: Map<string, WeightTensor>[] = [];
    for (const view of step.weights.profiles) {
      averages.push(step.table.ofNetwork(await readTensors(gpu, step, view, staging)));
    }
    await writeEmaSnapshot(this.#directory, { step: plan.progress.step, sigmas, averages }, {
      onWarning: (message) => warnings.push(message),
    });
  }

  /** The run directory. */
  get directory(): string {
    return this.#directory;
  }

  /** True if the newest checkpoint is of the run's present state. */
  get current(): boolean {
    return this.#savedStep === this.#parts.plan.progress.step;
  }

  /** The best model, if the run has one. */
  get best(): EndEvent["best"] {
    const { best } = this.#parts.plan.progress;
    return best && { ...best, path: bestDirectory(this.#directory) };
  }

  /**
   * Saves the run's present state.
   *
   * @throws {CheckpointError} if it cannot be written
   */
  async save(): Promise<CheckpointEvent> {
    const { gpu, step, options: { data }, staging, plan, warnings } = this.#parts;
    const { settings, grids, progress } = plan;
    const { best, step: done } = progress;
    const checkpoint = await captureCheckpoint(gpu, step, settings, grids, progress, data, staging);
    const path = await saveCheckpoint(this.#directory, checkpoint, {
      keep: settings.keep,
      best: best?.step === done,
      onWarning: (message) => warnings.push(message),
    });
    this.#savedStep = done;
    return {
      type: "checkpoint",
      step: done,
      path,
      ...(best?.step === done ? { best: bestDirectory(this.#directory) } : {}),
    };
  }
}
