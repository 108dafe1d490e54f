import assert from "node:assert/strict";
import type { Slice } from "../../lib/gpu/profile.ts";
import type { Dispatch } from "../../lib/gpu/program.ts";
import { type BenchReport, formatReport, newReport } from "../../bench/report.ts";
import { newProfile } from "../../terminal/profile_table.ts";
import { figure } from "../../terminal/table.ts";
import { ENVIRONMENT } from "../support/bench_environment.ts";

function fakeReport(): BenchReport {
  const report = newReport(ENVIRONMENT, false);
  report.limits = {
    fmaGflops: 1000,
    fmaVariant: "4 chains of vec4f",
    copyGigabytesPerSecond: 200,
    copyVariant: "4 vec4 an invocation",
  };
  report.kernels.push(
    { name: "conv forward", milliseconds: 2, gflops: 600, ofLimit: 0.6 },
    { name: "add forward", milliseconds: 0.5, gigabytesPerSecond: 150, ofLimit: 0.75 },
  );
  report.training.push({
    model: "tiny",
    parameters: 1234567,
    batch: 16,
    dispatches: 400,
    milliseconds: 50,
    imagesPerSecond: 320,
    flops: 9e9,
    gflops: 180,
    ofPeak: 0.18,
    hostMillisecondsPer1000: 2.5,
    firstStepSeconds: 1.5,
  });
  report.sampling.push({
    model: "tiny",
    batch: 8,
    steps: 20,
    millisecondsPerStep: 10,
    imagesPerSecond: 40,
    gflops: 150,
    ofPeak: 0.15,
  });
  report.precisions.push({
    ...{ kind: "training", model: "small", batch: 128 },
    ...{ float32Milliseconds: 200, mixedMilliseconds: 110, toFloat32: 1.85 },
  });
  report.firstSteps.push({
    ...{ model: "tiny", batch: 16, coldSeconds: 20, warmSeconds: 2 },
    tuned: { coldSeconds: 18, warmSeconds: 1 },
  });
  report.profiles.push({
    name: "training step of tiny, batch 16",
    replays: 2,
    milliseconds: 90,
    kernels: [
      { name: "conv2d.forward", calls: 6, milliseconds: 60, share: 0.75, flops: 12e9, bytes: 6e8 },
      { name: "add.forward", calls: 2, milliseconds: 20, share: 0.25, flops: 0, bytes: 1e9 },
    ],
  });
  report.skipped.push({ name: "training ddpm", reason: "needs 9 GiB" });
  return report;
}

/** The cells of the line that begins with `first`. */
function cells(text: string, first: string): string[] {
  const line = text.split("\n").find((line) => line.startsWith(first));
  assert.ok(line !== undefined, `no line begins with ${first} in:\n${text}`);
  return line.slice(first.length).trim().split(/\s{2,}/);
}

Deno.test("a report as text has adapter, limits and a line for every row", () => {
  const text = formatReport(fakeReport());
  assert.match(text, /^Fake 9000, driver Fake 1\.2, Deno 2\.9\.6, .*2026-01-02T03:04:05/);
  assert.doesNotMatch(text, /Load average/);
  assert.match(text, /multiply-add peak +1000 GFLOP\/s/);
  assert.match(text, /copy bandwidth +200 GB\/s/);
  assert.deepEqual(cells(text, "conv forward"), ["2.00", "600", "60.0 % peak"]);
  assert.deepEqual(cells(text, "add forward"), ["0.500", "150", "75.0 % copy"]);
  const [training, sampling, first] = text.split("\n").filter((line) => line.startsWith("tiny "));
  const expected = ["tiny", "1,234,567", "16", "50.0", "320", "180", "18.0 %", "400", "2.50", "1.50"];
  assert.deepEqual(training.split(/\s{2,}/), expected);
  assert.deepEqual(sampling.split(/\s{2,}/), ["tiny", "8", "20", "10.0", "40.0", "150", "15.0 %"]);
  assert.deepEqual(first.split(/\s{2,}/), ["tiny", "16", "20.0", "2.00"]);
  assert.deepEqual(cells(text, "tiny, all tuned"), ["16", "18.0", "1.00"]);
  assert.deepEqual(cells(text, "training small"), ["128", "200", "110", "1.85 x"]);
  assert.match(text, /float32 ms {2}mixed ms {2}ratio to float32\n/);
  const kernel = ["3", "30.0", "75.0 %", "200", "20.0 %", "10.0", "5.00 %"];
  assert.deepEqual(cells(text, "conv2d.forward"), kernel);
  assert.deepEqual(cells(text, "add.forward  "), ["1", "10.0", "25.0 %", "50.0", "25.0 %"]);
  assert.deepEqual(cells(text, "all  "), ["4", "40.0", "100 %", "150", "15.0 %"]);
  assert.match(text, /^45\.0 ms from the first dispatch to the end of the last, .*; mean of 2$/m);
  assert.match(text, /not measured:\n {2}training ddpm: needs 9 GiB\n$/);
});

Deno.test("columns of a table end at the same place in every line", () => {
  const report = newReport(ENVIRONMENT, true);
  report.kernels.push(
    { name: "a", milliseconds: 1234, gflops: 1, ofLimit: 0.5 },
    { name: "a longer name", milliseconds: 0.01, gflops: 12345, ofLimit: 0.001 },
  );
  const lines = formatReport(report).trimEnd().split("\n").slice(2);
  assert.equal(lines.length, 4);
  assert.deepEqual(new Set(lines.map(({ length }) => length)).size, 1);
});

Deno.test("parts without rows are left out, and a busy machine is told of", () => {
  const text = formatReport(newReport({ ...ENVIRONMENT, load: 5 }, true));
  assert.equal(text.trimEnd().split("\n").length, 2);
  assert.match(text, /Load average 5\.0 on 8 threads/);
});

Deno.test("a profile adds up kernels, and the time between dispatches but not between replays", () => {
  const slice = (kernel: string, start: number, milliseconds: number): Slice => {
    return { dispatch: { kernel, flops: 1, bytes: 2 } as Dispatch, start, milliseconds };
  };
  const replays = [[slice("a", 0, 1), slice("b", 3, 2)], [slice("a", 100, 1), slice("b", 101, 2)]];
  const { milliseconds, kernels, replays: count } = newProfile("step", replays);
  assert.deepEqual([count, milliseconds], [2, 8]);
  assert.deepEqual(kernels.map(({ name, calls, milliseconds }) => [name, calls, milliseconds]), [
    ["b", 2, 4],
    ["a", 2, 2],
  ]);
  assert.equal(newProfile("none", []).milliseconds, 0);
});

Deno.test("a report survives JSON", () => {
  const report = fakeReport();
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report);
});

Deno.test("figures have three significant digits and no exponent", () => {
  const values = [0, 0.001234, 0.1, 1.2345, 99.96, 123.4, 1234567, NaN, undefined];
  assert.deepEqual(values.map(figure), ["0", "0.00123", "0.100", "1.23", "100", "123", "1234567", "?", ""]);
});
