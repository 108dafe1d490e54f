/**
 * Autotuning in the tasks: the `--tune` flag and the progress shown.
 *
 * @module
 */
import { TUNE_MODES, type TuneMode, type TuningProgress } from "../lib/tuning/tuning.ts";
import type { FlagOptions } from "./cli.ts";
import { oneOf } from "./values.ts";
import { counted } from "../lib/counted.ts";
import { formatDuration, type Reporter } from "./progress.ts";

/** Options of the `--tune` flag; undefined means `auto`. */
export const TUNE_OPTIONS: FlagOptions<TuneMode> = { value: oneOf(TUNE_MODES), defaultText: "auto" };

/** Creates a listener that shows the progress and result of autotuning. */
export function showTuning(report: Reporter): (progress: TuningProgress) => void {
  let [running, extending] = [false, false];
  return (progress) => {
    const { adapter, done, total, extended, finished } = progress;
    if (!running) report.start(total, `tuning ${counted(total, "kernel")} on ${adapter}`);
    running = finished === undefined;
    if (extended && !extending) report.line(describeExtension(extended));
    extending = extended !== undefined;
    if (running) return report.update(done);
    report.stop();
    report.line(describeTuning(progress));
  };
}

/** Reason why tuning goes on past the usual time limit, in a line. */
function describeExtension({ runSeconds, limitSeconds }: Required<TuningProgress>["extended"]): string {
  return `this run will take ${formatDuration(runSeconds)} or more, so kernels are tuned for up to ${
    formatDuration(limitSeconds)
  }`;
}

/** Result of autotuning, in a line. */
function describeTuning({ done, total, finished }: TuningProgress): string {
  const { seconds = 0, keptIn } = finished ?? {};
  const kernels = done === total ? counted(total, "kernel") : `${done} of ${counted(total, "kernel")}`;
  const rest = done === total ? "" : ", defaults for the rest";
  return `tuned ${kernels} in ${Math.ceil(seconds)} s${rest}${
    keptIn === undefined ? "" : `; cached in ${keptIn}`
  }`;
}
