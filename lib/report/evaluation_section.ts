/**
 * Denoising loss of a run by timestep, as its evaluations measured it.
 *
 * @module
 */
import type { Html } from "../html.ts";
import type { EvaluationEvent } from "../train/events.ts";
import { formatValue } from "./format.ts";
import { folded, rowTable } from "./markup.ts";
import type { RunRecord } from "./run_record.ts";

/** Evaluations shown, the first and the last among them. */
const MAX_EVALUATIONS = 6;

/** Table of the loss of the network's output by timestep, least noise first; a column for each of some evaluations. */
export function lossesByTimestep({ log }: RunRecord): Html | undefined {
  const evaluations = log.evaluations.filter(hasLosses);
  const last = evaluations.at(-1);
  if (!last) return undefined;
  const comparable = evaluations.filter(({ losses }) => losses.length === last.losses.length);
  const shown = someOf(comparable, MAX_EVALUATIONS);
  const rows = last.losses.map(({ timesteps: [from, to] }, i) => ({
    heading: from === to ? formatValue(from) : `${formatValue(from)} to ${formatValue(to)}`,
    cells: shown.map(({ losses }) => formatValue(losses[i]!.target)), // as many as the last has
  }));
  const columns = ["Time input", ...shown.map(({ epoch }) => `Epoch ${epoch}`)];
  return folded(
    "Denoising loss by timestep",
    rowTable("Loss of the network's output, least noise first", columns, rows),
  );
}

function hasLosses({ losses }: Partial<EvaluationEvent>): boolean {
  return Array.isArray(losses) && losses.length > 0;
}

/** Evenly spaced items, the first and the last among them. */
function someOf<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.round(i * (items.length - 1) / (count - 1))]!);
}
