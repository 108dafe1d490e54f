import assert from "node:assert/strict";
import { formatServeReport, type LoadRow, type ServeReport } from "../../bench/serve_report.ts";

function row(clients: number, batching: boolean, rate: number): LoadRow {
  return {
    clients,
    batching,
    images: 40,
    seconds: 40 / rate,
    imagesPerSecond: rate,
    latencySeconds: { p50: 0.5, p95: 0.75, p99: 1.25, max: 1.5 },
    healthMilliseconds: { p50: 1.5, p95: 2.5, p99: 4.25, max: 9 },
    failures: {},
  };
}

function report(changes: Partial<ServeReport> = {}): ServeReport {
  const adapter = {
    backend: "deno" as const,
    name: "llvmpipe",
    vendor: "mesa",
    software: true,
    features: [],
    subgroupSize: 8,
  };
  return {
    version: 1,
    environment: {
      adapter,
      driver: "Mesa 25.0.7",
      deno: "2.9.6",
      system: "linux x86_64",
      threads: 2,
      load: 0.1,
      date: "2026-11-22T12:00:00.000Z",
    },
    model: "cats-3125",
    steps: 20,
    guidance: 2,
    rows: { batching: 16, oneAtATime: 2 },
    quick: false,
    load: [row(16, true, 8), row(16, false, 3.2)],
    skipped: [],
    ...changes,
  };
}

Deno.test("a table row for each number of clients and server, with the gain of batching over one at a time", () => {
  const text = formatServeReport(report());
  assert.match(text, /^llvmpipe \(software\), driver Mesa 25\.0\.7, Deno 2\.9\.6/);
  assert.match(text, /model cats-3125, one image a request, 20 steps, guidance 2/);
  assert.match(
    text,
    /batching: a batch of 16 rows; one at a time: the same server, started with a batch of 2,/,
  );
  const cells = text.split("\n").filter((line) => line.startsWith("16")).map((line) => line.split(/ {2,}/));
  assert.deepEqual(cells, [
    ["16", "batching", "40", "8.00", "2.50 x", "0.500", "0.750", "1.25", "1.50", "4.25", "9.00"],
    ["16", "one at a time", "40", "3.20", "0.500", "0.750", "1.25", "1.50", "4.25", "9.00"],
  ]);
  for (const absent of ["failed requests", "memory over", "not measured"]) {
    assert.ok(!text.includes(absent), absent);
  }
});

Deno.test("failed requests, memory and what was not measured have their lines", () => {
  const samples = Array.from(
    { length: 41 },
    (_, i) => ({ requests: 50 * i, mebibytes: 300 + Math.min(i, 20) }),
  );
  const memory = {
    requests: 2000,
    clients: 8,
    steps: 2,
    seconds: 81.4,
    samples,
    slope: -0.04,
    failures: { TimeoutError: 1 },
  };
  const text = formatServeReport(report({
    load: [{ ...row(4, true, 8), failures: { "status 504": 3 } }],
    memory,
    skipped: [{ name: "64 clients", reason: "too slow" }],
  }));
  assert.match(
    text,
    /failed requests:\n {2}3 x status 504 with 4 clients, batching\n {2}1 x TimeoutError during the memory measurement\n/,
  );
  assert.match(text, /memory over 2,000 requests of 2 steps, 8 clients, 81 s\n/);
  assert.match(
    text,
    /300 MiB after 0, 310 MiB after 500, 320 MiB after 1000, .*320 MiB after 2000, -0.0 MiB per 1,000/,
  );
  assert.match(text, /not measured:\n {2}64 clients: too slow\n$/);
});
