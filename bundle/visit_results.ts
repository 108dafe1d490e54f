/**
 * Results of a visit, in one JSON file: outcome of each stage, benchmark reports, and PyTorch's rows. Later calls with the
 * same folder add to it.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import { BENCH_REPORT, parseJsonAs } from "../bench/report_file.ts";
import type { BenchReport } from "../bench/report.ts";
import { ConfigError } from "../lib/errors.ts";
import { fileProblem } from "../lib/files/durable.ts";
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

const TORCH_RESULT: z.ZodType<TorchRow> = z.looseObject({
  what: z.enum(["training", "sampling"]),
  preset: z.string(),
  batch: z.number(),
  precision: z.string(),
  channelsLast: z.boolean(),
  compiled: z.boolean(),
  stepsPerSecond: z.number(),
  gflops: z.number(),
  peakMiB: z.number(),
});

const RESULTS: z.ZodType<VisitResults> = z.object({
  stages: z.record(z.string(), z.object({ result: z.string(), seconds: z.number() })),
  reports: z.record(z.string(), BENCH_REPORT),
  pytorch: z.array(TORCH_RESULT),
});

/**
 * Reads the results of earlier calls; empty if there are none.
 * @throws {ConfigError} if the file cannot be read, since later results would take its place
 */
export async function readResults(out: string): Promise<VisitResults> {
  const path = join(out, VISIT_FILES.results);
  const refuse = (why: string) =>
    new ConfigError(
      "--out",
      out,
      `another folder, since ${path} cannot be read and would be replaced (${why})`,
    );
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { stages: {}, reports: {}, pytorch: [] };
    throw refuse(fileProblem(error));
  }
  const parsed = parseJsonAs(text, RESULTS);
  if ("problem" in parsed) throw refuse(parsed.problem);
  return parsed.value;
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
    const parsed = parseJsonAs(await Deno.readTextFile(join(parts, name)), BENCH_REPORT);
    // A benchmark that was stopped while it wrote leaves none.
    if ("value" in parsed) reports[name.slice(0, -".json".length)] = parsed.value;
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
    const parsed = parseJsonAs(line, TORCH_RESULT);
    return "value" in parsed ? [parsed.value] : [];
  });
}

/** A log without the lines that are in the results. */
export function withoutRows(log: string): string {
  return log.split("\n").filter((line) => !line.startsWith(TORCH_ROW)).join("\n");
}
