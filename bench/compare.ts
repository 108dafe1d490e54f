/**
 * Two reports of the bench, row by row.
 *
 * @module
 */
import { ConfigError } from "../lib/errors.ts";
import type { SamplingRow, TrainingRow } from "./models.ts";
import { type BenchReport, figure, percent, table } from "./report.ts";

/** What is asked of a comparison. */
export interface CompareOptions {
  /** Part of a row's speed, 0 to 1, that may be lost. */
  readonly maxLoss: number;
  /** Names of the rows that were to be measured now. */
  readonly only: RegExp;
}

/** A row that both reports have. */
export interface ComparedRow {
  readonly name: string;
  /** Both as parts of what the adapter can do at best (`limit`), or both in milliseconds. */
  readonly measure: "limit" | "milliseconds";
  readonly before: number;
  readonly now: number;
  /** Speed now over speed before: above 1 is faster. */
  readonly ratio: number;
  /** Whether it counts: the time of a row that has no limit may be another because the machine was busy. */
  readonly judged: boolean;
  readonly lost: boolean;
}

/** Result of {@linkcode compareReports}. */
export interface Comparison {
  readonly rows: readonly ComparedRow[];
  /** Names of the rows that one report lacks. */
  readonly unmatched: readonly string[];
  /** What else was different, in sentences. */
  readonly notes: readonly string[];
  /** Whether rows were compared, and none lost too much. */
  readonly passed: boolean;
}

/** Something that was measured: how fast against a limit where it has one, and how long it took. */
interface Measured {
  readonly ofLimit?: number;
  readonly milliseconds: number;
  /** What has no limit to be measured against, and is shown only. */
  readonly unjudged?: true;
}

/**
 * Reads a report that the bench wrote.
 *
 * @throws {ConfigError} naming `--compare` when it is none
 */
export async function readReport(path: string): Promise<BenchReport> {
  const refuse = (why: string) =>
    new ConfigError("--compare", path, `a file that \`deno task bench --json FILE\` wrote (${why})`);
  let report: Partial<BenchReport> | null;
  try {
    report = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    throw refuse((error as Error).message);
  }
  const parts = [report?.kernels, report?.training, report?.sampling, report?.firstSteps];
  if (!parts.every(Array.isArray) || typeof report?.environment?.adapter?.name !== "string") {
    throw refuse("it has no adapter, or no rows");
  }
  if (report.version !== 1) throw refuse(`its version is ${report.version}, not 1`);
  // Reports of before there was float16 have none of its rows.
  return { ...report, precisions: report.precisions ?? [] } as BenchReport;
}

/**
 * Checks that two reports can be compared at all.
 * @throws {ConfigError} when they are of different adapters
 */
export function checkAdapter(path: string, before: string, now: string): void {
  if (before === now) return;
  const allowed = `a report of the adapter here, ${now}, not of ${before}, or --any-adapter`;
  throw new ConfigError("--compare", path, allowed);
}

/**
 * Compares row by row. Rows that both have a share of the adapter's limit, measured alternately with them, are compared
 * by it, since a machine is rarely as quiet the second time; all others by their time. Host time, float16 and first
 * steps have no limit, so they are shown and not judged.
 */
export function compareReports(
  before: BenchReport,
  now: BenchReport,
  { maxLoss, only }: CompareOptions,
): Comparison {
  const [old, current] = [measured(before), measured(now)];
  const names = new Set([...old.keys(), ...current.keys()]);
  const rows: ComparedRow[] = [];
  const unmatched: string[] = [];
  for (const name of names) {
    const [a, b] = [old.get(name), current.get(name)];
    if (!a || !b) {
      if (b || only.test(name)) unmatched.push(name);
      continue;
    }
    const limit = isPositive(a.ofLimit) && isPositive(b.ofLimit);
    const [from, to] = limit ? [a.ofLimit!, b.ofLimit!] : [a.milliseconds, b.milliseconds];
    const ratio = limit ? to / from : from / to;
    // What is no number was not measured; it must not pass for unchanged.
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
  return { rows, unmatched, notes: differences(before, now), passed };
}

/** The part of an earlier report against which something was lost. */
export function lostPart(before: BenchReport, { rows }: Comparison): BenchReport {
  const lost = new Set(rows.filter(({ lost }) => lost).map(({ name }) => name));
  return {
    ...before,
    kernels: before.kernels.filter(({ name }) => lost.has(name)),
    training: before.training.filter((row) => lost.has(trainingName(row))),
    sampling: before.sampling.filter((row) => lost.has(samplingName(row))),
  };
}

/** Puts rows that were measured again into a report where they came closer to the limit. */
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
  const { rows, unmatched, notes } = comparison;
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
    ...(unmatched.length > 0 ? ["in one report only:", ...unmatched.map((name) => `  ${name}`)] : []),
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

function trainingName({ model, batch }: TrainingRow): string {
  return `training ${model}, batch ${batch}`;
}

function samplingName({ model, batch }: SamplingRow): string {
  return `sampling ${model}, batch ${batch}`;
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
  for (const { kind, model, batch, float16Milliseconds } of precisions) {
    // A ratio that falls because float32 became faster is no loss.
    const name = `float16 ${kind} ${model}, batch ${batch}`;
    rows.set(name, { milliseconds: float16Milliseconds, unjudged: true });
  }
  for (const { model, batch, coldSeconds, warmSeconds } of firstSteps) {
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
  compare("threads", a.threads, b.threads);
  compare("bench", before.quick ? "quick" : "full", now.quick ? "quick" : "full");
  return notes;
}

function isPositive(value: number | null | undefined): boolean {
  return typeof value === "number" && value > 0;
}
