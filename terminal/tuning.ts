/**
 * Autotuning in the tasks: the `--tune` flag and the progress shown.
 *
 * @module
 */
import { TUNE_MODES, type TuneMode, type TuningProgress } from "../lib/tuning/tuning.ts";
import { type FlagOptions, oneOf } from "./cli.ts";
import { counted, type Reporter } from "./progress.ts";

/** Options of the `--tune` flag; undefined means `auto`. */
export const TUNE_OPTIONS: FlagOptions<TuneMode> = { value: oneOf(TUNE_MODES), defaultText: "auto" };

/** Creates a listener that shows the progress and result of autotuning. */
export function showTuning(report: Reporter): (progress: TuningProgress) => void {
  let running = false;
  return (progress) => {
    const { adapter, done, total, finished } = progress;
    if (!running) report.start(total, `tuning ${counted(total, "kernel")} on ${adapter}`);
    running = finished === undefined;
    if (running) return report.update(done);
    report.stop();
    report.line(describeTuning(progress));
  };
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
