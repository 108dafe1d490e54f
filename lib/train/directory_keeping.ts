/**
 * Keeps a run in its directory, or nowhere if it has none.
 *
 * @module
 */
import { MetricsFile } from "./metrics.ts";
import { RunCheckpoints } from "./run_checkpoints.ts";
import { RunEvaluation } from "./run_evaluation.ts";
import type { RunKeeping } from "./run_keeping.ts";
import { saveRunTuning } from "./run_tuning.ts";

/** Keeps a run in `out`. */
export const DIRECTORY_KEEPING: RunKeeping = {
  buildEvaluation: RunEvaluation.build,
  saveTuning: saveRunTuning,
  openSaves: RunCheckpoints.open,
  async openLog({ out }, { progress }, warnings) {
    if (out === undefined) return undefined;
    return await MetricsFile.open(out, {
      step: progress.step,
      epochEnds: progress.history.map(({ step }) => step),
      onWarning: (message) => void warnings.push(message),
    });
  },
};
