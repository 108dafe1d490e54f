/**
 * Benchmark report: data and text tables.
 *
 * @module
 */
import { type ProfileEntry, type Slice, summarizeProfile } from "../lib/gpu/profile.ts";
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

/** Peak rates of an adapter. */
export interface LimitRates {
  /** Float32 GFLOP/s, 2 operations per multiply-add. */
  readonly fmaGflops: number;
  readonly fmaVariant: string;
  /** GB/s, read plus written. */
  readonly copyGigabytesPerSecond: number;
  readonly copyVariant: string;
}

/** Time per kernel of a replayed step. */
export interface Profile {
  /** Profiled step, e.g. `training step of tiny, batch 16`. */
  readonly name: string;
  /** Number of profiled replays. */
  readonly replays: number;
  /** From first to last dispatch, gaps included; sum over the replays. */
  readonly milliseconds: number;
  /** Sums over the replays, longest first. */
  readonly kernels: readonly ProfileEntry[];
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

/** Sums profiled dispatches by kernel. */
export function newProfile(name: string, replays: readonly (readonly Slice[])[]): Profile {
  const spans = replays.map((slices) => {
    const ends = slices.map(({ start, milliseconds }) => start + milliseconds);
    return Math.max(0, ...ends) - (slices[0]?.start ?? 0);
  });
  const milliseconds = spans.reduce((sum, span) => sum + span, 0);
  return { name, replays: replays.length, milliseconds, kernels: summarizeProfile(replays.flat()) };
}

/** Footnote on the bandwidth of a profile. */
export const BYTES_NOTE =
  "(GB/s counts every bound buffer range once, so it is too high for dispatches that use only part of a range)";

/** Table of a profile: a row per kernel, means per replay, with shares of the peak rates if given. */
export function profileLines(profile: Profile, limits?: LimitRates): string[] {
  const { name, replays, milliseconds, kernels } = profile;
  const total = kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const calls = kernels.reduce((sum, { calls }) => sum + calls, 0);
  const flops = kernels.reduce((sum, { flops }) => sum + flops, 0);
  const all = { name: "all", calls, milliseconds: total, share: 1, flops, bytes: 0 };
  const heads = ["calls", "ms", "share", "GFLOP/s", ...(limits ? ["of peak"] : []), "GB/s"];
  const lines = table([name, ...heads, ...(limits ? ["of copy"] : [])], [...kernels, all], (entry) => {
    const rate = (amount: number) => amount > 0 ? amount / entry.milliseconds / 1e6 : undefined;
    const [gflops, gigabytes] = [rate(entry.flops), rate(entry.bytes)];
    const of = (rate: number | undefined, limit: number | undefined) =>
      limit === undefined ? [] : [rate === undefined ? "" : percent(rate / limit)];
    return [
      entry.name,
      count(entry.calls / replays),
      figure(entry.milliseconds / replays),
      percent(entry.share),
      figure(gflops),
      ...of(gflops, limits?.fmaGflops),
      figure(gigabytes),
      ...of(gigabytes, limits?.copyGigabytesPerSecond),
    ];
  });
  const each = figure(milliseconds / replays);
  const times = replays === 1 ? "once" : `mean of ${replays}`;
  return [
    ...lines,
    `${each} ms from the first dispatch to the end of the last, timestamps included; ${times}`,
  ];
}

/** Lines on rows that could not be measured; none if there are none. */
export function skippedLines(skipped: BenchReport["skipped"]): string[] {
  if (skipped.length === 0) return [];
  return ["not measured:", ...skipped.map(({ name, reason }) => `  ${name}: ${reason}`)];
}

/** Lines of a table, first column left-aligned, the others right-aligned; none without rows. */
export function table<T>(
  heads: readonly string[],
  rows: readonly T[],
  cells: (row: T) => string[],
): string[] {
  if (rows.length === 0) return [];
  const body = rows.map(cells);
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...body.map((row) => row[column]?.length ?? 0))
  );
  const show = (row: readonly string[]) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)).join("  ");
  return [show(heads), widths.map((width) => "-".repeat(width)).join("  "), ...body.map(show)];
}

/** Three significant digits without an exponent; empty for undefined. */
export function figure(value: number | undefined): string {
  if (value === undefined) return "";
  if (!Number.isFinite(value)) return "?";
  if (value === 0) return "0";
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3))))));
  return value.toFixed(Math.min(decimals, 6));
}

/** Integers in full, means with three significant digits. */
function count(value: number): string {
  return Number.isInteger(value) ? String(value) : figure(value);
}

/** Formats a share, 0 to 1, as a percentage. */
export function percent(share: number): string {
  return `${figure(100 * share)} %`;
}
