/**
 * What the tasks have in common about trying kernels out: the flag, and how it is shown.
 *
 * @module
 */
import { TUNE_MODES, type TuneMode, TUNING_DIRECTORY, type TuningProgress } from "../../lib/tuning/tuning.ts";
import { type FlagOptions, oneOf } from "./cli.ts";
import { counted, type Reporter } from "./progress.ts";

/** Words for the flag, followed by what it means for the task's results. */
export const TUNE_FLAG: string =
  `time the kernels that can be computed in several ways once, and keep the fastest in ${TUNING_DIRECTORY}/: ` +
  "auto on a GPU, 10 seconds at most; on anywhere, 2 minutes; off goes by rules and reads and writes nothing";

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
