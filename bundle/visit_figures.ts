/**
 * Figures that a visit is made for, each beside what is to be reached.
 *
 * @module
 */

import type { FirstStepRow } from "../bench/first_step.ts";
import { networkName } from "../bench/models.ts";
import type { BenchReport } from "../bench/report.ts";
import type { Precision } from "../lib/model/precision.ts";
import type { TorchRow, VisitResults } from "./visit_results.ts";

/**
 * Reports of a visit. In `first` ones tuning begins with an empty cache and takes the seconds that it takes by default; in
 * `tuned` ones it is complete; in `rules` there is none. `second-minute` is a long training that began with an empty cache.
 */
export type ReportName =
  | `${Precision}-${"first" | "tuned" | "rules"}-${string}`
  | `${Precision}-second-minute`
  | "kernels"
  | `first-steps-${Precision}`
  | `profile-${Precision}`;

/** A whole step in a visit's reports. */
export interface MeasuredStep {
  readonly what: "training" | "sampling";
  readonly preset: string;
  readonly batch: number;
  readonly precision: Precision;
  readonly stepsPerSecond: number;
}

/** Whole steps in the report of a name; empty if there is none. */
export function stepsIn(name: string, report: BenchReport | undefined): MeasuredStep[] {
  if (!report) return [];
  const precision = name.includes("mixed") ? "mixed" : "float32";
  return [
    ...report.training.map(({ model, batch, milliseconds }): MeasuredStep => {
      return { what: "training", preset: model, batch, precision, stepsPerSecond: 1000 / milliseconds };
    }),
    ...report.sampling.map(({ model, batch, millisecondsPerStep }): MeasuredStep => {
      return {
        what: "sampling",
        preset: model,
        batch,
        precision,
        stepsPerSecond: 1000 / millisecondsPerStep,
      };
    }),
  ];
}

/** What is to be reached on an H200, steps a second. */
const SPEEDS: readonly (readonly [MeasuredStep["what"], string, Precision, number])[] = [
  ["training", "ddpm", "float32", 13],
  ["training", "small", "float32", 32],
  ["training", "tiny", "float32", 180],
  ["training", "ddpm", "mixed", 30],
  ["training", "small", "mixed", 70],
  ["sampling", "ddpm", "float32", 40],
  ["sampling", "ddpm", "mixed", 120],
];

/** Share of the multiply-add peak that products and direct convolutions are to reach. */
const PRODUCT_SHARE = 0.6;
/** Seconds to the first step, cold and warm. */
const FIRST_STEP = { cold: 15, warm: 3 };

/** A line for each figure; `not measured` where the reports lack it. */
export function figureLines({ reports, pytorch }: VisitResults): string[] {
  const report = (name: ReportName) => reports[name];
  return [
    ...SPEEDS.map(([what, preset, precision, target]) => {
      const of = (name: ReportName) =>
        stepsIn(name, report(name)).find((step) => step.what === what && step.preset === preset)
          ?.stepsPerSecond;
      const values: (readonly [string, number | undefined])[] = [
        ["tuned", of(`${precision}-tuned-${what}-${preset}`)],
        ["from an empty cache", of(`${precision}-first-${what}-${preset}`)],
        ["in the second minute of a long run from an empty cache", of(`${precision}-second-minute`)],
        ["by rules", of(`${precision}-rules-${what}-${preset}`)],
      ];
      const named = `${what} ${preset}, ${precision}`;
      return line(named, speeds(values), `${target} steps/s`, besideTorch(pytorch, what, preset));
    }),
    line("products and direct convolutions", shares(report("kernels")), `${percent(PRODUCT_SHARE)} of peak`),
    line(
      "process start to first step",
      [...report("first-steps-float32")?.firstSteps ?? [], ...report("first-steps-mixed")?.firstSteps ?? []]
        .flatMap((row) => [
          firstStep(networkName(row), row),
          ...row.tuned ? [firstStep(`${networkName(row)}, all tuned,`, row.tuned)] : [],
        ]),
      `${FIRST_STEP.cold} s, ${FIRST_STEP.warm} s`,
    ),
  ];
}

function firstStep(name: string, seconds: Pick<FirstStepRow, "coldSeconds" | "warmSeconds">): string {
  return `${name} ${seconds.coldSeconds.toFixed(1)} s cold, ${seconds.warmSeconds.toFixed(1)} s warm`;
}

function line(
  name: string,
  values: readonly string[],
  target: string,
  beside: readonly string[] = [],
): string {
  const measured = values.length > 0 ? values.join(", ") : "not measured";
  return [`${name}: ${measured}; to reach ${target}`, ...beside].join("; ");
}

function speeds(values: readonly (readonly [how: string, stepsPerSecond: number | undefined])[]): string[] {
  const best = values.find(([, value]) => value !== undefined)?.[1];
  return values.flatMap(([how, value], i) => {
    if (value === undefined || best === undefined) return [];
    const share = i > 0 && value !== best ? ` (${percent(value / best)})` : "";
    return [`${value.toFixed(2)} steps/s ${how}${share}`];
  });
}

function besideTorch(rows: readonly TorchRow[], what: MeasuredStep["what"], preset: string): string[] {
  const same = rows.filter((row) => row.what === what && row.preset === preset);
  if (same.length === 0) return [];
  const each = same.map(({ stepsPerSecond, ...row }) => `${stepsPerSecond.toFixed(2)} ${describeTorch(row)}`);
  return [`PyTorch ${each.join(", ")}`];
}

/** Precision, layout and compilation of a PyTorch row. */
export function describeTorch(
  { precision, channelsLast, compiled }: Pick<TorchRow, "precision" | "channelsLast" | "compiled">,
): string {
  return [precision, channelsLast ? "channels last" : "", compiled ? "compiled" : ""].filter(Boolean).join(
    " ",
  );
}

/** Least and largest share of the peak among the kernels that are compute-bound, with their names. */
function shares(report: BenchReport | undefined): string[] {
  const rows = (report?.kernels ?? []).filter(({ gflops }) => gflops !== undefined)
    .toSorted((a, b) => a.ofLimit - b.ofLimit);
  const [least, most] = [rows.at(0), rows.at(-1)];
  if (!least || !most) return [];
  return [least, most].map(({ name, ofLimit }) => `${percent(ofLimit)} (${name})`);
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
