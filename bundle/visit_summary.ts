/**
 * Summary of a visit to a machine, on one page: outcome and last lines of each stage, the figures that the visit is made
 * for, and PyTorch's beside them.
 *
 * @module
 */

import type { Outcome } from "./stages.ts";
import { describeTorch, figureLines, type MeasuredStep, stepsIn } from "./visit_figures.ts";
import { type TorchRow, type VisitResults, withoutRows } from "./visit_results.ts";

/** Number of last characters of each log to show. */
const TAIL = 1500;

/** Formats the summary of a call's outcomes and of all results so far. */
export function summarizeVisit(results: VisitResults, outcomes: readonly Outcome[]): string {
  const parts = outcomes.flatMap(({ name, result, seconds, log }) => {
    const shown = withoutLoader(withoutRows(log)).trim().slice(-TAIL);
    return [`=== ${name}: ${result}, ${seconds.toFixed(0)} s`, ...(shown === "" ? [] : [shown])];
  });
  const ours = Object.entries(results.reports).flatMap(([name, report]) => stepsIn(name, report));
  const { pytorch } = results;
  return [
    ...parts,
    ...(Object.keys(results.reports).length > 0 ? ["=== figures", ...figureLines(results)] : []),
    ...(pytorch.length > 0 ? ["=== beside PyTorch", ...compare(ours, pytorch)] : []),
  ].join("\n") + "\n";
}

/** A log without the Vulkan loader's debug output, which stays in the logs; its warnings and errors are kept. */
function withoutLoader(log: string): string {
  const debug = /^(\[Vulkan Loader\] )?(DEBUG|INFO|LAYER|DRIVER|IMPLEM)( \| [A-Z]+)*:/;
  return log.split("\n").filter((line) => !debug.test(line)).join("\n");
}

/** Lines for each of PyTorch's results: its speed, and our best one for the same network and batch relative to it. */
function compare(ours: readonly MeasuredStep[], torch: readonly TorchRow[]): string[] {
  return torch.map((row) => {
    const best = (precision: MeasuredStep["precision"]) => {
      const same = ours.filter((our) =>
        our.what === row.what && our.preset === row.preset && our.batch === row.batch &&
        our.precision === precision
      );
      return same.length === 0 ? [] : [Math.max(...same.map(({ stepsPerSecond }) => stepsPerSecond))];
    };
    // Mixed precision is the counterpart of TF32 and bfloat16, but float32 may be faster: show both.
    const here = [
      ...best("float32").map((speed) => `here ${speed.toFixed(2)}, ${ratio(speed, row)}`),
      ...(row.precision === "float32" ? [] : best("mixed")).map((speed) =>
        `in mixed precision ${speed.toFixed(2)}, ${ratio(speed, row)}`
      ),
    ];
    const { what, preset, batch, stepsPerSecond, gflops, peakMiB } = row;
    const speed = `${stepsPerSecond.toFixed(2)} steps/s (${gflops.toFixed(0)} GFLOP/s, ${peakMiB} MiB)`;
    const beside = here.length > 0 ? here.join("; ") : "not measured here";
    return `${what} ${preset}, batch ${batch}, PyTorch ${describeTorch(row)}: ${speed}; ${beside}`;
  });
}

function ratio(stepsPerSecond: number, row: TorchRow): string {
  return `${(stepsPerSecond / row.stepsPerSecond).toFixed(2)} x`;
}
