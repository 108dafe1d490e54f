/**
 * Summary of a visit to a machine, on one page: outcome and last lines of each stage, training and sampling beside
 * PyTorch's.
 *
 * @module
 */

import { join } from "node:path";
import type { BenchReport } from "../bench/report.ts";
import type { Precision } from "../lib/model/precision.ts";
import type { Outcome } from "./stages.ts";

/** Number of last characters of each log to show. */
const TAIL = 1500;

/** Prefix of a result of bench/pytorch/step.py. */
const RESULT = '{"what"';

/** A result of bench/pytorch/step.py: the fields used here. */
interface TorchRow {
  readonly what: "training" | "sampling";
  readonly preset: string;
  readonly batch: number;
  readonly precision: string;
  readonly channelsLast: boolean;
  readonly compiled: boolean;
  readonly stepsPerSecond: number;
  readonly gflops: number;
  readonly peakMiB: number;
}

/** Steps per second of a network in this project. */
interface OurRow {
  readonly precision: Precision;
  readonly what: "training" | "sampling";
  readonly preset: string;
  readonly batch: number;
  readonly stepsPerSecond: number;
}

/**
 * Formats the summary.
 *
 * @param out folder of the stages' reports
 */
export async function summarizeVisit(out: string, outcomes: readonly Outcome[]): Promise<string> {
  const parts = outcomes.flatMap(({ name, result, seconds, log }) => {
    const shown = log.split("\n").filter((line) => !line.startsWith(RESULT)).join("\n").trim().slice(-TAIL);
    return [`=== ${name}: ${result}, ${seconds.toFixed(0)} s`, ...(shown === "" ? [] : [shown])];
  });
  const torch = outcomes.flatMap(({ log }) => torchRows(log));
  const ours = await ourRows(out);
  return [...parts, ...(torch.length > 0 ? ["=== beside PyTorch", ...compare(ours, torch)] : [])].join("\n") +
    "\n";
}

/** Parses the results in a log of step.py. */
function torchRows(log: string): TorchRow[] {
  return log.split("\n").filter((line) => line.startsWith(RESULT)).map((line) => JSON.parse(line));
}

/** Lines for each of PyTorch's results: its speed, and ours for the same network and batch relative to it. */
function compare(ours: readonly OurRow[], torch: readonly TorchRow[]): string[] {
  return torch.map((row) => {
    const all = ours.filter((our) =>
      our.what === row.what && our.preset === row.preset && our.batch === row.batch
    );
    // Mixed precision is the counterpart of PyTorch's bfloat16, but float32 may be faster: show both.
    const precisions = row.precision === "bfloat16" ? ["float32", "mixed"] : ["float32"];
    const same = precisions.flatMap((name) => all.find(({ precision }) => precision === name) ?? []);
    const how = [row.precision, row.channelsLast ? "channels last" : "", row.compiled ? "compiled" : ""];
    const speed = `${row.stepsPerSecond.toFixed(2)} steps/s (${
      row.gflops.toFixed(0)
    } GFLOP/s, ${row.peakMiB} MiB)`;
    const here = same.map(({ stepsPerSecond, precision }) =>
      `${precision === "mixed" ? "in mixed precision" : "here"} ${stepsPerSecond.toFixed(2)}, ` +
      `${(stepsPerSecond / row.stepsPerSecond).toFixed(2)} x`
    );
    const ratio = here.length > 0 ? here.join("; ") : "not measured here";
    return `${row.what} ${row.preset}, batch ${row.batch}, PyTorch ${
      how.filter(Boolean).join(" ")
    }: ${speed}; ${ratio}`;
  });
}

/** Rows of whole steps from the benchmark reports in a folder. */
async function ourRows(out: string): Promise<OurRow[]> {
  const rows: OurRow[] = [];
  for (const name of ["ddpm", "models", "mixed", "bench"]) {
    const text = await Deno.readTextFile(join(out, `${name}.json`)).catch(() => undefined);
    if (text === undefined) continue;
    const { training, sampling, precisions }: BenchReport = JSON.parse(text);
    const add = (what: OurRow["what"], preset: string, batch: number, ms: number, precision: Precision) =>
      rows.push({ what, preset, batch, stepsPerSecond: 1000 / ms, precision });
    for (const { model, batch, milliseconds } of training) {
      add("training", model, batch, milliseconds, "float32");
    }
    for (const { model, batch, millisecondsPerStep } of sampling) {
      add("sampling", model, batch, millisecondsPerStep, "float32");
    }
    for (const { kind, model, batch, mixedMilliseconds } of precisions) {
      add(kind, model, batch, mixedMilliseconds, "mixed");
    }
  }
  return rows;
}
