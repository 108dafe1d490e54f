/**
 * The results of `deno task bench:serve`, as data and as text.
 *
 * @module
 */
import type { Environment } from "./environment.ts";
import { figure, headLines, skippedLines, table } from "./report.ts";
import type { MemorySample } from "./serve_memory.ts";

/** What so many clients at once got from a server. */
export interface LoadRow {
  readonly clients: number;
  /** Whether images of several requests were drawn together, or one after the other. */
  readonly batching: boolean;
  readonly images: number;
  /** From the first request to the last answer. */
  readonly seconds: number;
  readonly imagesPerSecond: number;
  readonly latencySeconds: Quantiles;
  /** Of `/healthz` meanwhile. */
  readonly healthMilliseconds: Quantiles;
  /** Bad answers and failures, by what they were. */
  readonly failures: Readonly<Record<string, number>>;
}

/** Values that a share of all did not exceed. */
export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** How memory went over many requests. */
export interface MemoryReport {
  readonly requests: number;
  readonly clients: number;
  readonly steps: number;
  readonly seconds: number;
  readonly samples: readonly MemorySample[];
  /** MiB per 1,000 requests over the second half. */
  readonly slope?: number;
  readonly failures: Readonly<Record<string, number>>;
}

/** All results; `--json` prints it as it is. */
export interface ServeReport {
  readonly version: 1;
  readonly environment: Environment;
  readonly model: string;
  /** Steps of an image, its guidance, and network rows of the batch of either server. */
  readonly steps: number;
  readonly guidance: number;
  readonly rows: { readonly batching: number; readonly oneAtATime: number };
  readonly quick: boolean;
  readonly load: LoadRow[];
  memory?: MemoryReport;
  /** What was not measured, and why. */
  readonly skipped: { readonly name: string; readonly reason: string }[];
}

/** The report as text. */
export function formatServeReport(report: ServeReport): string {
  const parts = [
    headLines(report.environment),
    setUpLines(report),
    loadLines(report.load),
    failureLines(report),
    report.memory ? memoryLines(report.memory) : [],
    skippedLines(report.skipped),
  ];
  return parts.filter(({ length }) => length > 0).map((lines) => lines.join("\n")).join("\n\n") + "\n";
}

function setUpLines({ model, steps, guidance, rows }: ServeReport): string[] {
  return [
    `model ${model}, one image a request, ${steps} steps, guidance ${guidance}, over loopback`,
    `batching: a batch of ${rows.batching} rows; one at a time: the same server, started with a batch of ` +
    `${rows.oneAtATime}, which is one image; both measured in turns`,
  ];
}

function loadLines(rows: readonly LoadRow[]): string[] {
  const heads = ["clients", "server", "images", "images/s", "gain", "p50 s", "p95 s", "p99 s"];
  return table([...heads, "health p50 ms", "p99 ms", "max ms"], rows, (row) => {
    const alone = rows.find(({ clients, batching }) => clients === row.clients && !batching);
    const gain = row.batching && alone ? row.imagesPerSecond / alone.imagesPerSecond : undefined;
    const { latencySeconds: latency, healthMilliseconds: health } = row;
    return [
      String(row.clients),
      row.batching ? "batching" : "one at a time",
      String(row.images),
      figure(row.imagesPerSecond),
      gain === undefined ? "" : `${gain.toFixed(2)} x`,
      ...[latency.p50, latency.p95, latency.p99, health.p50, health.p99, health.max].map(figure),
    ];
  });
}

function failureLines({ load, memory }: ServeReport): string[] {
  const of = (failures: LoadRow["failures"], where: string) =>
    Object.entries(failures).map(([what, count]) => `  ${count} x ${what} ${where}`);
  const lines = load.flatMap(({ clients, batching, failures }) =>
    of(failures, `with ${clients} clients, ${batching ? "batching" : "one at a time"}`)
  );
  lines.push(...of(memory?.failures ?? {}, "while memory was watched"));
  return lines.length > 0 ? ["failed requests:", ...lines] : [];
}

function memoryLines({ requests, clients, steps, seconds, samples, slope }: MemoryReport): string[] {
  const head =
    `memory over ${requests.toLocaleString("en")} requests of ${steps} steps, ${clients} clients, ` +
    `${seconds.toFixed(0)} s`;
  const shown = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => {
    return samples[Math.round(share * (samples.length - 1))] ?? [];
  });
  const growth = slope === undefined ? "" : `, ${slope.toFixed(1)} MiB per 1,000 requests in the second half`;
  const course = shown.map((sample) => `${sample.mebibytes.toFixed(0)} MiB after ${sample.requests}`).join(
    ", ",
  );
  return [head, `  ${course}${growth}`];
}
