/**
 * Selection of sampling steps for intermediate frames.
 *
 * @module
 */
import { checkWhole } from "../checks.ts";
import { ConfigError } from "../errors.ts";

/**
 * Spacing of the frames: `even`, including the first and the last step; `late`, the same but quadratically denser towards
 * the end; `ends`, after each of `count` equal parts; or after every n steps.
 */
export type Spread =
  | { readonly count: number; readonly spacing: "even" | "late" | "ends" }
  | { readonly every: number };

/**
 * Selects the steps to show.
 *
 * @param steps number of steps, 1 or more
 * @param spread maximum number of frames (2 or more unless `ends`) and their spacing
 * @returns ascending, from 0 to `steps - 1`, which is always the last
 */
export function shownSteps(steps: number, spread: Spread): number[] {
  const last = steps - 1;
  const shown = momentsOf(steps, spread).map((moment) => Math.round(moment));
  return [...new Set([...shown.filter((step) => step >= 0 && step < last), last])];
}

/**
 * Steps of a trajectory to keep.
 *
 * @param frames their number, 2 or more, spaced evenly; or the steps themselves
 * @param steps number of steps
 * @returns ascending, from 0
 * @throws {ConfigError} for fewer than 2 frames, or steps that are not in ascending order or not there
 */
export function keptSteps(frames: number | readonly number[], steps: number): readonly number[] {
  const last = steps - 1;
  if (typeof frames === "number") {
    checkWhole("frames", frames, 2, Number.MAX_SAFE_INTEGER);
    return shownSteps(steps, { count: frames, spacing: "even" });
  }
  const ascending = frames.every((step, i) =>
    Number.isSafeInteger(step) && step <= last && step > (frames[i - 1] ?? -1)
  );
  if (!ascending) throw new ConfigError("frames", frames, `steps from 0 to ${last} in ascending order`);
  return frames;
}

function momentsOf(steps: number, spread: Spread): number[] {
  if ("every" in spread) {
    return Array.from({ length: Math.floor(steps / spread.every) }, (_, i) => (i + 1) * spread.every - 1);
  }
  const { count, spacing } = spread;
  const last = steps - 1;
  switch (spacing) {
    case "even": {
      const kept = Math.min(count, steps);
      return Array.from({ length: kept }, (_, i) => kept === 1 ? last : i * last / (kept - 1));
    }
    case "late":
      return Array.from({ length: count }, (_, i) => last - Math.round(last * (1 - i / (count - 1)) ** 2));
    case "ends":
      return Array.from({ length: count }, (_, i) => (i + 1) * steps / count - 1);
  }
}
