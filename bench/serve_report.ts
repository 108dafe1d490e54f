/**
 * Report of `deno task bench:serve`: data and text tables.
 *
 * @module
 */
import type { Environment } from "./environment.ts";
import { headLines, skippedLines } from "./report.ts";
import { figure, table } from "../terminal/table.ts";
import type { MemorySample } from "./serve_memory.ts";

/** Throughput and latency at a number of concurrent clients. */
export interface LoadRow {
  readonly clients: number;
  /** True for continuous batching, false for one image at a time. */
  readonly batching: boolean;
  readonly images: number;
  /** Seconds from the first request to the last response. */
  readonly seconds: number;
  readonly imagesPerSecond: number;
  readonly latencySeconds: Quantiles;
  /** Latency of concurrent `/healthz` requests. */
  readonly healthMilliseconds: Quantiles;
  /** Number of failed requests by error or status. */
  readonly failures: Readonly<Record<string, number>>;
}

/** Percentiles and maximum. */
export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** Memory over many requests. */
export interface MemoryReport {
  readonly requests: number;
  readonly clients: number;
  readonly steps: number;
  readonly seconds: number;
  readonly samples: readonly MemorySample[];
  /** Growth in the second half, MiB per 1,000 requests. */
  readonly slope?: number;
  readonly failures: Readonly<Record<string, number>>;
}

/** Complete report, as `--json` writes it. */
export interface ServeReport {
  readonly version: 1;
  readonly environment: Environment;
  readonly model: string;
  /** Sampling steps and guidance of an image; batch size of each server, in network rows. */
  readonly steps: number;
  readonly guidance: number;
  readonly rows: { readonly batching: number; readonly oneAtATime: number };
  readonly quick: boolean;
  readonly load: LoadRow[];
  memory?: MemoryReport;
  /** Rows that could not be measured. */
  readonly skipped: { readonly name: string; readonly reason: string }[];
}

/** Formats a report. */
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
  lines.push(...of(memory?.failures ?? {}, "during the memory measurement"));
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
