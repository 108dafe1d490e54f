/**
 * What the tasks have in common about trying kernels out: how the flag is read, and what is shown.
 *
 * @module
 */
import { TUNE_MODES, type TuneMode, type TuningProgress } from "../../lib/tuning/tuning.ts";
import { type FlagOptions, oneOf } from "./cli.ts";
import { counted, type Reporter } from "./progress.ts";

/** How the flag is read; not given, it is `auto`. */
export const TUNE_OPTIONS: FlagOptions<TuneMode> = { value: oneOf(TUNE_MODES), defaultText: "auto" };

/** Shows how far trying kernels is, and what came of it. */
export function showTuning(report: Reporter): (progress: TuningProgress) => void {
  let under = false;
  return (progress) => {
    const { adapter, done, total, finished } = progress;
    if (!under) report.start(total, `trying ${counted(total, "kernel")} on ${adapter}`);
    under = finished === undefined;
    if (under) return report.update(done);
    report.stop();
    report.line(describeTuning(progress));
  };
}

/** What came of trying kernels, in a line. */
function describeTuning({ done, total, finished }: TuningProgress): string {
  const { seconds = 0, keptIn } = finished ?? {};
  const kernels = done === total ? counted(total, "kernel") : `${done} of ${counted(total, "kernel")}`;
  const rest = done === total ? "" : ", the rest go by rules";
  return `tuned ${kernels} in ${Math.ceil(seconds)} s${rest}${
    keptIn === undefined ? "" : `; kept in ${keptIn}`
  }`;
}
