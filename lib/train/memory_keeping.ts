/**
 * Keeps a run's model in memory, and nothing else.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { encodePipeline } from "../files/encode_pipeline.ts";
import type { CheckpointEvent } from "./events.ts";
import type { RunKeeping, RunSaves, SavedParts } from "./run_keeping.ts";
import { captureModel } from "./state.ts";

/** Stands for the directory of a model that is in memory. */
const IN_MEMORY = "trained";

/** Gives each model to the caller, as an event. */
class ModelEvents implements RunSaves {
  readonly directory = IN_MEMORY;
  readonly best = undefined;
  readonly #parts: SavedParts;
  #savedStep: number | undefined;

  constructor(parts: SavedParts) {
    this.#parts = parts;
  }

  get current(): boolean {
    return this.#savedStep === this.#parts.plan.progress.step;
  }

  saveSnapshot(): Promise<void> {
    return Promise.resolve();
  }

  async save(): Promise<CheckpointEvent> {
    const { gpu, step, options: { data }, staging, plan: { settings, progress } } = this.#parts;
    const files = await encodePipeline(await captureModel(gpu, step, settings, data.classes, staging));
    this.#savedStep = progress.step;
    return { type: "checkpoint", step: progress.step, path: IN_MEMORY, model: { path: IN_MEMORY, files } };
  }
}

/** Keeps a run's model in memory. */
export const MEMORY_KEEPING: RunKeeping = {
  buildEvaluation: (_gpu, { grids }) =>
    Promise.reject(new ConfigError("evaluateEvery", grids.evaluateEvery, "0 for a run in memory")),
  saveTuning: () => Promise.resolve(),
  openLog: () => Promise.resolve(undefined),
  openSaves: (parts) => Promise.resolve(new ModelEvents(parts)),
};
