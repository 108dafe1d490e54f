/**
 * The result of a bench as data and as tables.
 *
 * @module
 */
import type { ProfileEntry } from "../../lib/gpu/profile.ts";
import type { Environment } from "./environment.ts";
import type { FirstStepRow } from "./first_step.ts";
import type { SamplingRow, TrainingRow } from "./models.ts";

/** A line of the table of kernels: one in `gflops` where products count, one in `gigabytesPerSecond` elsewhere. */
export interface KernelRow {
  readonly name: string;
  /** Median of one run. */
  readonly milliseconds: number;
  /** 1e9 floating-point operations a second, 2 a multiply-add. */
  readonly gflops?: number;
  /** 1e9 bytes a second, every tensor that goes in or comes out counted once. */
  readonly gigabytesPerSecond?: number;
  /** Against the multiply-add rate or the copy bandwidth measured alternately, 0 to 1. */
  readonly ofLimit: number;
}

/** What an adapter can do at best. */
export interface LimitRates {
  /** 1e9 float32 operations a second, 2 a multiply-add. */
  readonly fmaGflops: number;
  readonly fmaVariant: string;
  /** 1e9 bytes a second, read and written bytes added. */
  readonly copyGigabytesPerSecond: number;
  readonly copyVariant: string;
}

/** Where the time of one training step goes. */
export interface Profile {
  readonly model: string;
  readonly batch: number;
  /** Longest first. */
  readonly kernels: readonly ProfileEntry[];
}

/** Everything a bench found out; what `--json` writes. */
export interface BenchReport {
  readonly version: 1;
  readonly environment: Environment;
  /** Whether it was a quick bench, with shorter measurements. */
  readonly quick: boolean;
  limits?: LimitRates;
  readonly kernels: KernelRow[];
  readonly training: TrainingRow[];
  readonly sampling: SamplingRow[];
  readonly firstSteps: FirstStepRow[];
  readonly profiles: Profile[];
  /** What was not measured, and why. */
  readonly skipped: { readonly name: string; readonly reason: string }[];
}

/** An empty report. */
export function newReport(environment: Environment, quick: boolean): BenchReport {
  const rows = { kernels: [], training: [], sampling: [], firstSteps: [], profiles: [], skipped: [] };
  return { version: 1, environment, quick, ...rows };
}

/** The report as text: what was measured where, then a table for each part that has rows. */
export function formatReport(report: BenchReport): string {
  const parts = [
    headLines(report.environment),
    report.limits ? limitLines(report.limits) : [],
    kernelLines(report.kernels),
    trainingLines(report.training),
    samplingLines(report.sampling),
    firstStepLines(report.firstSteps),
    ...report.profiles.map(profileLines),
    skippedLines(report.skipped),
  ];
  return parts.filter(({ length }) => length > 0).map((lines) => lines.join("\n")).join("\n\n") + "\n";
}

/** What was measured on what, and whether the machine was quiet. */
export function headLines({ adapter, driver, deno, system, threads, load, date }: Environment): string[] {
  const name = adapter.software ? `${adapter.name} (software)` : adapter.name;
  const lines = [`${name}, driver ${driver}, Deno ${deno}, ${system}, ${threads} threads, ${date}`];
  if (load > 0.25 * threads) {
    lines.push(
      `The machine was busy when this began (load ${load.toFixed(1)}): expect low and uneven figures.`,
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
    row.model,
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
    row.model,
    String(row.batch),
    String(row.steps),
    figure(row.millisecondsPerStep),
    figure(row.imagesPerSecond),
    figure(row.gflops),
    percent(row.ofPeak),
  ]);
}

function firstStepLines(rows: readonly FirstStepRow[]): string[] {
  return table(["process start to first step", "batch", "cold s", "warm s"], rows, (row) => [
    row.model,
    String(row.batch),
    figure(row.coldSeconds),
    figure(row.warmSeconds),
  ]);
}

function profileLines({ model, batch, kernels }: Profile): string[] {
  const head = `one training step of ${model}, batch ${batch}`;
  return table([head, "calls", "ms", "share", "GFLOP/s"], kernels, (entry) => [
    entry.name,
    String(entry.calls),
    figure(entry.milliseconds),
    percent(entry.share),
    figure(entry.flops > 0 ? entry.flops / entry.milliseconds / 1e6 : undefined),
  ]);
}

/** What was not measured, with the reasons. */
export function skippedLines(skipped: BenchReport["skipped"]): string[] {
  if (skipped.length === 0) return [];
  return ["not measured:", ...skipped.map(({ name, reason }) => `  ${name}: ${reason}`)];
}

/** Lines of a table, none where it has no rows: the first column to the left, the others to the right. */
export function table<T>(
  heads: readonly string[],
  rows: readonly T[],
  cells: (row: T) => string[],
): string[] {
  if (rows.length === 0) return [];
  const body = rows.map(cells);
  const widths = heads.map((head, column) => Math.max(head.length, ...body.map((row) => row[column].length)));
  const show = (row: readonly string[]) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ");
  return [show(heads), widths.map((width) => "-".repeat(width)).join("  "), ...body.map(show)];
}

/** Three significant digits without an exponent; empty where there is no figure. */
export function figure(value: number | undefined): string {
  if (value === undefined) return "";
  if (!Number.isFinite(value)) return "?";
  if (value === 0) return "0";
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3))))));
  return value.toFixed(Math.min(decimals, 6));
}

function percent(share: number): string {
  return `${figure(100 * share)} %`;
}
