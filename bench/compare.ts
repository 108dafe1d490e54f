/**
 * Comparison of two benchmark reports, row by row.
 *
 * @module
 */
import { ConfigError } from "../lib/errors.ts";
import type { TrainingRow } from "./training.ts";
import type { SamplingRow } from "./sampling.ts";
import { networkName } from "./models.ts";
import type { BenchReport } from "./report.ts";
import { figure, percent, table } from "../terminal/table.ts";

/** Options of {@linkcode compareReports}. */
export interface CompareOptions {
  /** Allowed loss of speed per row, 0 to 1. */
  readonly maxLoss: number;
  /** Rows selected in the new report; others may be missing from it. */
  readonly only: RegExp;
}

/** A row present in both reports. */
export interface ComparedRow {
  readonly name: string;
  /** Unit of `before` and `now`: share of the adapter's peak (`limit`), or milliseconds. */
  readonly measure: "limit" | "milliseconds";
  readonly before: number;
  readonly now: number;
  /** Speedup: speed now over speed before. */
  readonly ratio: number;
  /** False for rows without a peak rate, whose times depend on the machine's load; such rows cannot fail. */
  readonly judged: boolean;
  readonly lost: boolean;
}

/** Result of {@linkcode compareReports}. */
export interface Comparison {
  readonly rows: readonly ComparedRow[];
  /** Names of rows of the earlier report that the new one lacks: renamed, or not measured. */
  readonly gone: readonly string[];
  /** Names of rows of the new report that the earlier one lacks. */
  readonly added: readonly string[];
  /** Differences between the environments, in sentences. */
  readonly notes: readonly string[];
  /** True if at least one row was judged, and none lost too much speed. */
  readonly passed: boolean;
}

/** Time of a row, and its share of the peak rate if it has one. */
interface Measured {
  readonly ofLimit?: number;
  readonly milliseconds: number;
  /** Has no peak rate: shown, but not judged. */
  readonly unjudged?: true;
}

/**
 * Checks that two reports are of the same adapter.
 *
 * @throws {ConfigError} if they are not
 */
export function checkAdapter(path: string, before: string, now: string): void {
  if (before === now) return;
  const allowed = `a report of the adapter here, ${now}, not of ${before}, or --any-adapter`;
  throw new ConfigError("--compare", path, allowed);
}

/**
 * Compares two reports row by row: by share of the adapter's peak rate where both have one, because that was measured
 * alternately with the row and so cancels the machine's load; otherwise by time. Host time, precisions and first steps have
 * no peak rate, so they are shown but not judged.
 */
export function compareReports(
  before: BenchReport,
  now: BenchReport,
  { maxLoss, only }: CompareOptions,
): Comparison {
  const [old, current] = [measured(before), measured(now)];
  const names = new Set([...old.keys(), ...current.keys()]);
  const rows: ComparedRow[] = [];
  const [gone, added]: [string[], string[]] = [[], []];
  for (const name of names) {
    const [a, b] = [old.get(name), current.get(name)];
    if (!a || !b) {
      if (b) added.push(name);
      else if (only.test(name)) gone.push(name);
      continue;
    }
    const limit = isPositive(a.ofLimit) && isPositive(b.ofLimit);
    const [from, to] = limit ? [a.ofLimit!, b.ofLimit!] : [a.milliseconds, b.milliseconds];
    const ratio = limit ? to / from : from / to;
    // Written so that NaN, for a row that was not measured, counts as lost.
    const judged = !b.unjudged;
    const lost = judged && !(ratio >= 1 - maxLoss);
    rows.push({
      name,
      measure: limit ? "limit" : "milliseconds",
      before: from,
      now: to,
      ratio,
      judged,
      lost,
    });
  }
  const passed = rows.some(({ judged }) => judged) && rows.every(({ lost }) => !lost);
  return { rows, gone, added, notes: differences(before, now), passed };
}

/** Rows of the baseline against which the new report lost speed. */
export function lostPart(before: BenchReport, { rows }: Comparison): BenchReport {
  const lost = new Set(rows.filter(({ lost }) => lost).map(({ name }) => name));
  return {
    ...before,
    kernels: before.kernels.filter(({ name }) => lost.has(name)),
    training: before.training.filter((row) => lost.has(trainingName(row))),
    sampling: before.sampling.filter((row) => lost.has(samplingName(row))),
  };
}

/** Replaces rows of a report by repeated measurements that came closer to the peak rate. */
export function keepBest(report: BenchReport, again: BenchReport): void {
  const merge = <T>(rows: T[], others: readonly T[], name: (row: T) => string, share: (row: T) => number) => {
    for (const [i, row] of rows.entries()) {
      const other = others.find((other) => name(other) === name(row));
      if (other && share(other) > share(row)) rows[i] = other;
    }
  };
  merge(report.kernels, again.kernels, ({ name }) => name, ({ ofLimit }) => ofLimit);
  merge(report.training, again.training, trainingName, ({ ofPeak }) => ofPeak);
  merge(report.sampling, again.sampling, samplingName, ({ ofPeak }) => ofPeak);
}

/** A comparison as text. */
export function formatComparison(path: string, comparison: Comparison, maxLoss: number): string {
  const { rows, gone, added, notes } = comparison;
  const listed = (head: string, names: readonly string[]) =>
    names.length > 0 ? [head, ...names.map((name) => `  ${name}`)] : [];
  const lines = [
    ...table([`compared with ${path}`, "before", "now", "now/before", ""], rows, (row) => {
      const show = (value: number) => row.measure === "limit" ? percent(value) : `${figure(value)} ms`;
      const ratio = `${row.ratio.toFixed(2)} x`;
      return [
        row.name,
        show(row.before),
        show(row.now),
        ratio,
        row.lost ? "lost" : row.judged ? "" : "not judged",
      ];
    }),
    ...notes,
    ...listed(`only in ${path}:`, gone),
    ...listed("only in this run:", added),
  ];
  const lost = rows.filter(({ lost }) => lost).map(({ name }) => name);
  const allowed = percent(maxLoss);
  const judged = rows.filter(({ judged }) => judged).length;
  if (judged === 0) lines.push("no row that can be judged is in both reports");
  else if (lost.length === 0) {
    lines.push(`none of ${judged} rows lost more than ${allowed} of its speed`);
  } else {
    lines.push(
      `${lost.length} of ${judged} rows lost more than ${allowed} of their speed: ${lost.join("; ")}`,
    );
  }
  return lines.join("\n") + "\n";
}

function trainingName(row: TrainingRow): string {
  return `training ${networkName(row)}, batch ${row.batch}`;
}

function samplingName(row: SamplingRow): string {
  return `sampling ${networkName(row)}, batch ${row.batch}`;
}

function measured(
  { kernels, training, sampling, precisions, firstSteps }: BenchReport,
): Map<string, Measured> {
  const rows = new Map<string, Measured>(kernels.map((row) => [row.name, row]));
  for (const row of training) {
    const { milliseconds, ofPeak, hostMillisecondsPer1000, dispatches } = row;
    const name = trainingName(row);
    rows.set(name, { milliseconds, ofLimit: ofPeak });
    rows.set(`${name}, host time`, {
      milliseconds: hostMillisecondsPer1000 * dispatches / 1000,
      unjudged: true,
    });
  }
  for (const row of sampling) {
    rows.set(samplingName(row), { milliseconds: row.millisecondsPerStep, ofLimit: row.ofPeak });
  }
  for (const { kind, model, batch, mixedMilliseconds } of precisions) {
    // By time: the ratio to float32 also falls when float32 gets faster.
    const name = `mixed ${kind} ${model}, batch ${batch}`;
    rows.set(name, { milliseconds: mixedMilliseconds, unjudged: true });
  }
  for (const { batch, coldSeconds, warmSeconds, ...network } of firstSteps) {
    const model = networkName(network);
    rows.set(`first step ${model}, batch ${batch}, cold`, {
      milliseconds: 1000 * coldSeconds,
      unjudged: true,
    });
    rows.set(`first step ${model}, batch ${batch}, warm`, {
      milliseconds: 1000 * warmSeconds,
      unjudged: true,
    });
  }
  return rows;
}

function differences(before: BenchReport, now: BenchReport): string[] {
  const notes: string[] = [];
  const compare = (what: string, a: unknown, b: unknown) => {
    if (a !== b) notes.push(`${what}: ${a} before, ${b} now`);
  };
  const [a, b] = [before.environment, now.environment];
  compare("adapter", a.adapter.name, b.adapter.name);
  compare("driver", a.driver, b.driver);
  compare("Deno", a.deno, b.deno);
  compare("Dawn", a.dawn ?? "none", b.dawn ?? "none");
  compare("threads", a.threads, b.threads);
  compare("bench", before.quick ? "quick" : "full", now.quick ? "quick" : "full");
  return notes;
}

function isPositive(value: number | null | undefined): boolean {
  return typeof value === "number" && value > 0;
}
