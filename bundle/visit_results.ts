/**
 * Results of a visit, in one JSON file: outcome of each stage, benchmark reports, and PyTorch's rows. Later calls with the
 * same folder add to it.
 *
 * @module
 */

import { join } from "node:path";
import { ConfigError } from "../lib/errors.ts";
import type { BenchReport } from "../bench/report.ts";
import type { Outcome } from "./stages.ts";

/** Prefix of a result of bench/pytorch/step.py. */
const TORCH_ROW = '{"what"';

/** A result of bench/pytorch/step.py: the fields used here. */
export interface TorchRow {
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

/** Results of all calls so far. */
export interface VisitResults {
  /** By stage. */
  readonly stages: Readonly<Record<string, Pick<Outcome, "result" | "seconds">>>;
  /** By name, without `.json`. */
  readonly reports: Readonly<Record<string, BenchReport>>;
  readonly pytorch: readonly TorchRow[];
}

/** Names of the files of a visit; a call leaves these and no others. */
export const VISIT_FILES = { results: "results.json", logs: "logs.txt", summary: "summary.txt" } as const;

/**
 * Reads the results of earlier calls; empty if there are none.
 * @throws {ConfigError} if the file is damaged, since later results would take its place
 */
export async function readResults(out: string): Promise<VisitResults> {
  const path = join(out, VISIT_FILES.results);
  const text = await Deno.readTextFile(path).catch(() => undefined);
  if (text === undefined) return { stages: {}, reports: {}, pytorch: [] };
  try {
    return JSON.parse(text);
  } catch {
    throw new ConfigError("--out", out, `another folder, since ${path} is damaged and would be replaced`);
  }
}

/**
 * Adds what stages have left in a folder, and what their logs say.
 *
 * @param parts folder of the stages' reports, `NAME.json` each
 */
export async function addResults(
  earlier: VisitResults,
  parts: string,
  outcomes: readonly Outcome[],
): Promise<VisitResults> {
  const ran = outcomes.filter(({ result }) => !result.startsWith("not run"));
  const reports: Record<string, BenchReport> = { ...earlier.reports };
  for await (const { name } of Deno.readDir(parts)) {
    if (!name.endsWith(".json")) continue;
    const text = await Deno.readTextFile(join(parts, name));
    try {
      reports[name.slice(0, -".json".length)] = JSON.parse(text);
    } catch {
      // A benchmark that was stopped while it wrote.
    }
  }
  const torch = ran.flatMap(({ log }) => torchRows(log));
  const same = (row: TorchRow) => (other: TorchRow) => configuration(row) === configuration(other);
  return {
    stages: {
      ...earlier.stages,
      ...Object.fromEntries(ran.map(({ name, result, seconds }) => [name, { result, seconds }])),
    },
    reports,
    pytorch: [...earlier.pytorch.filter((row) => !torch.some(same(row))), ...torch],
  };
}

function configuration({ what, preset, batch, precision, channelsLast, compiled }: TorchRow): string {
  return [what, preset, batch, precision, channelsLast, compiled].join();
}

/** Parses the results in a log of step.py; a line that was cut off when a stage was stopped is none. */
function torchRows(log: string): TorchRow[] {
  return log.split("\n").filter((line) => line.startsWith(TORCH_ROW)).flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
}

/** A log without the lines that are in the results. */
export function withoutRows(log: string): string {
  return log.split("\n").filter((line) => !line.startsWith(TORCH_ROW)).join("\n");
}
