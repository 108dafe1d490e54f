/**
 * Benchmark report: data and text tables.
 *
 * @module
 */
import { BYTES_NOTE, type LimitRates, type Profile, profileLines } from "../terminal/profile_table.ts";
import { figure, percent, table } from "../terminal/table.ts";
import type { Environment } from "./environment.ts";
import type { FirstStepRow } from "./first_step.ts";
import type { TrainingRow } from "./training.ts";
import type { SamplingRow } from "./sampling.ts";
import { networkName } from "./models.ts";
import type { PrecisionRow } from "./precisions.ts";

/** A row of the kernel table: `gflops` for compute-bound kernels, `gigabytesPerSecond` for memory-bound ones. */
export interface KernelRow {
  readonly name: string;
  /** Median of one run. */
  readonly milliseconds: number;
  /** GFLOP/s, 2 operations per multiply-add. */
  readonly gflops?: number;
  /** GB/s, every operand and result counted once. */
  readonly gigabytesPerSecond?: number;
  /** Share of the multiply-add peak or copy bandwidth measured alternately, 0 to 1. */
  readonly ofLimit: number;
}

/** Complete report, as `--json` writes it. */
export interface BenchReport {
  readonly version: 1;
  readonly environment: Environment;
  /** Measured with `--quick`: shorter measurements. */
  readonly quick: boolean;
  limits?: LimitRates;
  readonly kernels: KernelRow[];
  readonly training: TrainingRow[];
  readonly sampling: SamplingRow[];
  readonly precisions: PrecisionRow[];
  readonly firstSteps: FirstStepRow[];
  readonly profiles: Profile[];
  /** Rows that could not be measured. */
  readonly skipped: { readonly name: string; readonly reason: string }[];
}

/** An empty report. */
export function newReport(environment: Environment, quick: boolean): BenchReport {
  const networks = { training: [], sampling: [], precisions: [], firstSteps: [], profiles: [] };
  return { version: 1, environment, quick, kernels: [], ...networks, skipped: [] };
}

/** Formats a report: environment, then a table for each part that has rows. */
export function formatReport(report: BenchReport): string {
  const parts = [
    headLines(report.environment),
    report.limits ? limitLines(report.limits) : [],
    kernelLines(report.kernels),
    trainingLines(report.training),
    samplingLines(report.sampling),
    precisionLines(report.precisions),
    firstStepLines(report.firstSteps),
    ...report.profiles.map((profile) => profileLines(profile, report.limits)),
    report.profiles.length > 0 ? [BYTES_NOTE] : [],
    skippedLines(report.skipped),
  ];
  return parts.filter(({ length }) => length > 0).map((lines) => lines.join("\n")).join("\n\n") + "\n";
}

/** Lines on the environment, with a warning if the load average was above a quarter of the threads. */
export function headLines(environment: Environment): string[] {
  const { adapter, driver, deno, dawn, system, threads, load, date } = environment;
  const name = adapter.software ? `${adapter.name} (software)` : adapter.name;
  const runtime = [`Deno ${deno}`, ...dawn === undefined ? [] : [dawn]].join(", ");
  const lines = [`${name}, driver ${driver}, ${runtime}, ${system}, ${threads} threads, ${date}`];
  if (load > 0.25 * threads) {
    lines.push(
      `Load average ${
        load.toFixed(1)
      } on ${threads} threads when this began: the figures may be worse and less even ` +
        "than on an idle machine.",
    );
  }
  return lines;
}

function limitLines({ fmaGflops, fmaVariant, copyGigabytesPerSecond, copyVariant }: LimitRates): string[] {
  return [
    `float32 multiply-add peak  ${figure(fmaGflops)} GFLOP/s  (${fmaVariant})`,
    `copy bandwidth             ${figure(copyGigabytesPerSecond)} GB/s, read + written  (${copyVariant})`,
  ];
}

function kernelLines(rows: readonly KernelRow[]): string[] {
  return table(["kernel", "ms", "GFLOP/s", "GB/s", "of limit"], rows, (row) => [
    row.name,
    figure(row.milliseconds),
    figure(row.gflops),
    figure(row.gigabytesPerSecond),
    `${percent(row.ofLimit)} ${row.gflops === undefined ? "copy" : "peak"}`,
  ]);
}

function trainingLines(rows: readonly TrainingRow[]): string[] {
  const heads = [
    "training step",
    "parameters",
    "batch",
    "ms",
    "images/s",
    "GFLOP/s",
    "of peak",
    "dispatches",
  ];
  return table([...heads, "host ms/1000", "first step s"], rows, (row) => [
    networkName(row),
    row.parameters.toLocaleString("en"),
    String(row.batch),
    figure(row.milliseconds),
    figure(row.imagesPerSecond),
    figure(row.gflops),
    percent(row.ofPeak),
    String(row.dispatches),
    figure(row.hostMillisecondsPer1000),
    figure(row.firstStepSeconds),
  ]);
}

function samplingLines(rows: readonly SamplingRow[]): string[] {
  return table(["sampling", "batch", "steps", "ms/step", "images/s", "GFLOP/s", "of peak"], rows, (row) => [
    networkName(row),
    String(row.batch),
    String(row.steps),
    figure(row.millisecondsPerStep),
    figure(row.imagesPerSecond),
    figure(row.gflops),
    percent(row.ofPeak),
  ]);
}

function precisionLines(rows: readonly PrecisionRow[]): string[] {
  const heads = ["mixed against float32", "batch", "float32 ms", "mixed ms", "ratio to float32"];
  return table(heads, rows, (row) => [
    `${row.kind} ${row.model}`,
    String(row.batch),
    figure(row.float32Milliseconds),
    figure(row.mixedMilliseconds),
    `${figure(row.toFloat32)} x`,
  ]);
}

function firstStepLines(rows: readonly FirstStepRow[]): string[] {
  const all = rows.flatMap((row) => [
    { ...row, name: networkName(row) },
    ...row.tuned ? [{ ...row, ...row.tuned, name: `${networkName(row)}, all tuned` }] : [],
  ]);
  return table(["process start to first step", "batch", "cold s", "warm s"], all, (row) => [
    row.name,
    String(row.batch),
    figure(row.coldSeconds),
    figure(row.warmSeconds),
  ]);
}

/** Lines on rows that could not be measured; none if there are none. */
export function skippedLines(skipped: BenchReport["skipped"]): string[] {
  if (skipped.length === 0) return [];
  return ["not measured:", ...skipped.map(({ name, reason }) => `  ${name}: ${reason}`)];
}
