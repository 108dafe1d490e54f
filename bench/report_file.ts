/**
 * Reading of benchmark reports, and checks that they have the rows that their readers use.
 *
 * @module
 */
import { z } from "zod";
import { ConfigError } from "../lib/errors.ts";
import { fileProblem } from "../lib/files/durable.ts";
import type { BenchReport } from "./report.ts";

/** A figure; JSON has null for one that is not a number. */
const FIGURE = z.number().nullable().transform((value) => value ?? NaN);
const COUNT = z.int().nonnegative();

const NETWORK = {
  model: z.string(),
  precision: z.literal("mixed").optional(),
  batch: COUNT,
};

const FIRST_STEP = { coldSeconds: FIGURE, warmSeconds: FIGURE };

const PROFILE = z.looseObject({
  name: z.string(),
  replays: COUNT,
  milliseconds: FIGURE,
  kernels: z.array(z.looseObject({
    ...{ name: z.string(), calls: COUNT, milliseconds: FIGURE },
    ...{ share: FIGURE, flops: FIGURE, bytes: FIGURE },
  })),
});

/** Fields that readers of a report use; it may have others. Older reports lack the optional ones. */
const REPORT = z.looseObject({
  version: z.literal(1),
  environment: z.looseObject({
    adapter: z.looseObject({ name: z.string(), software: z.boolean() }),
    driver: z.string(),
    deno: z.string(),
    dawn: z.string().optional(),
    system: z.string(),
    threads: COUNT,
    date: z.string(),
  }),
  quick: z.boolean(),
  limits: z.looseObject({
    fmaGflops: FIGURE,
    fmaVariant: z.string(),
    copyGigabytesPerSecond: FIGURE,
    copyVariant: z.string(),
  }).optional(),
  kernels: z.array(z.looseObject({
    name: z.string(),
    milliseconds: FIGURE,
    gflops: FIGURE.optional(),
    gigabytesPerSecond: FIGURE.optional(),
    ofLimit: FIGURE,
  })),
  training: z.array(z.looseObject({
    ...NETWORK,
    dispatches: COUNT,
    milliseconds: FIGURE,
    gflops: FIGURE,
    ofPeak: FIGURE,
    hostMillisecondsPer1000: FIGURE,
  })),
  sampling: z.array(z.looseObject({
    ...NETWORK,
    steps: COUNT,
    millisecondsPerStep: FIGURE,
    gflops: FIGURE,
    ofPeak: FIGURE,
  })),
  precisions: z.array(z.looseObject({
    kind: z.enum(["training", "sampling"]),
    model: z.string(),
    batch: COUNT,
    mixedMilliseconds: FIGURE.optional(),
  }))
    // Older reports have rows of float16 without matrix units.
    .transform((rows) => rows.filter(({ mixedMilliseconds }) => mixedMilliseconds !== undefined))
    .default([]),
  firstSteps: z.array(
    z.looseObject({ ...NETWORK, ...FIRST_STEP, tuned: z.looseObject(FIRST_STEP).optional() }),
  ),
  profiles: z.array(PROFILE).default([]),
  skipped: z.array(z.looseObject({ name: z.string(), reason: z.string() })).default([]),
});

/** Schema of a benchmark report. */
export const BENCH_REPORT = REPORT as unknown as z.ZodType<BenchReport>;

/** Parses JSON of a known shape; `problem` says where it differs. */
export function parseJsonAs<T>(text: string, schema: z.ZodType<T>): { value: T } | { problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: "it is not JSON" };
  }
  const { data, error } = schema.safeParse(value);
  return error ? { problem: firstIssue(error) } : { value: data as T };
}

/** The first difference from a schema, in words. */
function firstIssue({ issues: [issue] }: z.ZodError): string {
  const at = z.core.toDotPath(issue!.path);
  return `${at === "" ? "" : `${at}: `}${issue!.message}`;
}

/**
 * Reads a benchmark report.
 *
 * @param flag the flag that names it, for messages
 * @throws {ConfigError} naming the flag if the file is not one
 */
export async function readReport(path: string, flag = "--compare"): Promise<BenchReport> {
  const refuse = (why: string) =>
    new ConfigError(flag, path, `a file that \`deno task bench --json FILE\` wrote (${why})`);
  const text = await Deno.readTextFile(path).catch((error) => {
    throw refuse(fileProblem(error));
  });
  const parsed = parseJsonAs(text, BENCH_REPORT);
  if ("problem" in parsed) throw refuse(parsed.problem);
  return parsed.value;
}
