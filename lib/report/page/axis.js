/**
 * Horizontal axis of the charts: optimizer steps, epochs, or time.
 *
 * @module
 */

/** Units of time by the longest run, in seconds each. */
const TIME_UNITS = [["hours", 3600], ["minutes", 60], ["seconds", 1]];

/**
 * Axes that every run has values for.
 *
 * @param runs of the report
 * @returns for each its name, its label, and a function from a run's index and a step to a value
 */
export function axesOf(runs) {
  const axes = [{ name: "steps", label: "optimizer steps", valueOf: (_run, step) => step }];
  if (runs.every(({ stepsPerEpoch }) => stepsPerEpoch > 0)) {
    axes.push({ name: "epochs", label: "epochs", valueOf: (run, step) => step / runs[run].stepsPerEpoch });
  }
  if (runs.every(({ times }) => times.length > 0)) {
    const longest = Math.max(...runs.map(({ times }) => times.at(-1)[1]));
    const [unit, seconds] = TIME_UNITS.find(([, seconds]) => longest >= 2 * seconds) ?? TIME_UNITS.at(-1);
    axes.push({
      name: "time",
      label: `${unit} of training`,
      valueOf: (run, step) => secondsAt(runs[run].times, step) / seconds,
    });
  }
  return axes;
}

/** Seconds of training at a step, between the ends of epochs by proportion. */
function secondsAt(times, step) {
  const after = times.findIndex(([end]) => end >= step);
  const at = after < 0 ? times.length - 1 : after;
  const [[end, seconds], [begin, before]] = [times[at], times[at - 1] ?? [0, 0]];
  return before + (seconds - before) * (step - begin) / (end - begin);
}
