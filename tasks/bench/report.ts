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
  /** Kernels of one training step, by model. */
  readonly profiles: {
    readonly model: string;
    readonly batch: number;
    readonly kernels: readonly ProfileEntry[];
  }[];
  /** What was not measured, and why. */
  readonly skipped: { readonly name: string; readonly reason: string }[];
}

/** An empty report. */
export function newReport(environment: Environment, quick: boolean): BenchReport {
  const rows = { kernels: [], training: [], sampling: [], firstSteps: [], profiles: [], skipped: [] };
  return { version: 1, environment, quick, ...rows };
}

/**
 * The report as text: a heading and a table for each part that has rows.
 */
export function formatReport(report: BenchReport): string {
  const { environment: at, limits, kernels, training, sampling, firstSteps, profiles, skipped } = report;
  const parts = [
    [
      `${at.adapter.name}${
        at.adapter.software ? " (software)" : ""
      }, driver ${at.driver}, Deno ${at.deno}, ` +
      `${at.system}, ${at.threads} threads, ${at.date}`,
      ...(at.load > 0.25 * at.threads
        ? [
          `The machine was busy when this began (load ${at.load.toFixed(1)}): expect low and uneven figures.`,
        ]
        : []),
    ],
  ];
  if (limits) {
    parts.push([
      `float32 multiply-add peak  ${figure(limits.fmaGflops)} GFLOP/s  (${limits.fmaVariant})`,
      `copy bandwidth             ${
        figure(limits.copyGigabytesPerSecond)
      } GB/s, read + written  (${limits.copyVariant})`,
    ]);
  }
  if (kernels.length > 0) {
    parts.push(table(
      ["kernel", "ms", "GFLOP/s", "GB/s", "of limit"],
      kernels.map((row) => [
        row.name,
        figure(row.milliseconds),
        figure(row.gflops),
        figure(row.gigabytesPerSecond),
        `${percent(row.ofLimit)} ${row.gflops === undefined ? "copy" : "peak"}`,
      ]),
    ));
  }
  if (training.length > 0) {
    const heads = ["training step", "parameters", "batch", "ms", "images/s", "GFLOP/s", "of peak"];
    parts.push(
      table(
        [...heads, "dispatches", "host ms/1000", "first step s"],
        training.map((row) => [
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
        ]),
      ),
    );
  }
  if (sampling.length > 0) {
    const heads = ["sampling", "batch", "steps", "ms/step", "images/s", "GFLOP/s", "of peak"];
    parts.push(table(
      heads,
      sampling.map((row) => [
        row.model,
        String(row.batch),
        String(row.steps),
        figure(row.millisecondsPerStep),
        figure(row.imagesPerSecond),
        figure(row.gflops),
        percent(row.ofPeak),
      ]),
    ));
  }
  if (firstSteps.length > 0) {
    parts.push(table(
      ["process start to first step", "batch", "cold s", "warm s"],
      firstSteps.map((row) => [
        row.model,
        String(row.batch),
        figure(row.coldSeconds),
        figure(row.warmSeconds),
      ]),
    ));
  }
  for (const { model, batch, kernels } of profiles) {
    parts.push(
      table(
        [`one training step of ${model}, batch ${batch}`, "calls", "ms", "share", "GFLOP/s"],
        profileRows(kernels),
      ),
    );
  }
  if (skipped.length > 0) {
    parts.push(["not measured:", ...skipped.map(({ name, reason }) => `  ${name}: ${reason}`)]);
  }
  return parts.map((lines) => lines.join("\n")).join("\n\n") + "\n";
}

function profileRows(kernels: readonly ProfileEntry[]): string[][] {
  return kernels.map(({ name, calls, milliseconds, share, flops }) => [
    name,
    String(calls),
    figure(milliseconds),
    percent(share),
    figure(flops > 0 ? flops / milliseconds / 1e6 : undefined),
  ]);
}

/**
 * Lines of a table: the first column to the left, the others to the right.
 *
 * @param heads one a column
 * @param rows as many cells as heads in each
 */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [heads, ...rows];
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const show = (line: readonly string[]) =>
    line.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ");
  return [show(heads), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(show)];
}

/** Three significant digits without an exponent; empty where there is no figure. */
export function figure(value: number | undefined): string {
  if (value === undefined) return "";
  if (!Number.isFinite(value)) return "?";
  if (value === 0) return "0";
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(decimals, 6));
}

function percent(share: number): string {
  return `${figure(100 * share)} %`;
}
