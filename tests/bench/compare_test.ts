import assert from "node:assert/strict";
import {
  checkAdapter,
  type ComparedRow,
  compareReports,
  formatComparison,
  keepBest,
  lostPart,
} from "../../bench/compare.ts";
import { ConfigError } from "../../lib/errors.ts";
import { type BenchReport, newReport } from "../../bench/report.ts";
import { ENVIRONMENT } from "../support/bench_environment.ts";
import { fakeReport } from "../support/bench_report.ts";

const OPTIONS = { maxLoss: 0.25, only: /./ };

function row(rows: readonly ComparedRow[], name: string): ComparedRow {
  const found = rows.find((row) => row.name === name);
  assert.ok(found, `no row ${name} among ${rows.map(({ name }) => name).join("; ")}`);
  return found;
}

Deno.test("rows with a limit are compared by it, however much slower the machine was", () => {
  const { rows, passed, gone, added, notes } = compareReports(
    fakeReport(0.4, 10),
    fakeReport(0.4, 100),
    OPTIONS,
  );
  for (const name of ["conv forward", "training tiny, batch 16", "sampling tiny, batch 8"]) {
    const { measure, ratio, lost } = row(rows, name);
    assert.deepEqual([name, measure, ratio, lost], [name, "limit", 1, false]);
  }
  assert.deepEqual([passed, gone, added, notes], [true, [], [], []]);
});

Deno.test("a loss of exactly what is allowed passes, and more is lost by name", () => {
  assert.equal(compareReports(fakeReport(0.5, 10), fakeReport(0.375, 10), OPTIONS).passed, true);
  const before = fakeReport(0.4, 10);
  const worse = fakeReport(0.4, 10);
  worse.kernels.splice(0, 1, { name: "conv forward", milliseconds: 10, gflops: 1, ofLimit: 0.29 });
  const comparison = compareReports(before, worse, OPTIONS);
  assert.equal(comparison.passed, false);
  assert.equal(row(comparison.rows, "conv forward").ratio.toFixed(3), "0.725");
  const text = formatComparison("old.json", comparison, 0.25);
  assert.match(text, /^conv forward +40\.0 % +29\.0 % +0\.72 x +lost$/m);
  assert.match(text, /\n1 of 3 rows lost more than 25\.0 % of their speed: conv forward\n$/);
  assert.equal(compareReports(before, worse, { ...OPTIONS, maxLoss: 0.3 }).passed, true);
  assert.equal(compareReports(worse, before, { ...OPTIONS, maxLoss: 0 }).passed, true);
});

Deno.test("lost rows can be measured again, and the better of two counts row by row", () => {
  const before = fakeReport(0.4, 10);
  const now = fakeReport(0.1, 10);
  now.sampling.splice(0, 1, { ...now.sampling[0], ofPeak: 0.4 });
  const lost = lostPart(before, compareReports(before, now, OPTIONS));
  assert.deepEqual([lost.kernels.length, lost.training.length, lost.sampling.length], [1, 1, 0]);
  const again = fakeReport(0.39, 11);
  again.kernels.splice(0, 1, { ...again.kernels[0], ofLimit: 0.05 });
  keepBest(now, again);
  const { rows } = compareReports(before, now, OPTIONS);
  const shares = ["conv forward", "training tiny, batch 16", "sampling tiny, batch 8"].map((name) =>
    row(rows, name).now
  );
  assert.deepEqual(shares, [0.1, 0.39, 0.4]);
  assert.equal(now.training[0].milliseconds, 11);
});

Deno.test("times that no limit stands beside are shown and not judged", () => {
  const { rows, passed } = compareReports(fakeReport(0.4, 10), fakeReport(0.4, 100), OPTIONS);
  const host = row(rows, "training tiny, batch 16, host time");
  assert.deepEqual([host.measure, host.before, host.now, host.ratio], ["milliseconds", 5, 50, 0.1]);
  const cold = row(rows, "first step tiny, batch 16, cold");
  const half = row(rows, "mixed training small, batch 4");
  for (const { judged, lost } of [host, half, cold]) assert.deepEqual([judged, lost], [false, false]);
  assert.deepEqual([half.before, half.now, passed], [10, 100, true]);
});

Deno.test("a network in mixed precision is another row than in float32", () => {
  const mixed = fakeReport(0.1, 10);
  mixed.training.push({ ...mixed.training.pop()!, precision: "mixed" });
  const { rows, gone, added } = compareReports(fakeReport(0.4, 10), mixed, OPTIONS);
  assert.ok(!rows.some(({ name }) => name.startsWith("training tiny")));
  assert.ok(added.includes("training tiny mixed, batch 16"), added.join("; "));
  assert.ok(gone.includes("training tiny, batch 16"), gone.join("; "));
});

Deno.test("where a report lacks the share of the limit, times are compared, and a time that is none is lost", () => {
  const noLimit = JSON.parse(JSON.stringify(fakeReport(NaN, 10))) as BenchReport;
  const slower = compareReports(noLimit, fakeReport(0.4, 20), OPTIONS);
  const { measure, ratio, lost } = row(slower.rows, "conv forward");
  assert.deepEqual([measure, ratio, lost], ["milliseconds", 0.5, true]);
  assert.equal(compareReports(noLimit, fakeReport(NaN, NaN), OPTIONS).passed, false);
});

Deno.test("rows of one report only are listed, those not asked for now left out, and nothing in common fails", () => {
  const [before, now] = [fakeReport(0.4, 10), fakeReport(0.4, 10)];
  now.kernels.length = 0;
  now.kernels.push({ name: "conv 2 forward", milliseconds: 1, gflops: 1, ofLimit: 0.4 });
  const comparison = compareReports(before, now, OPTIONS);
  assert.deepEqual([comparison.gone, comparison.added], [["conv forward"], ["conv 2 forward"]]);
  assert.match(
    formatComparison("before.json", comparison, 0.25),
    /\nonly in before\.json:\n {2}conv forward\nonly in this run:\n {2}conv 2 forward\n/,
  );
  const only = compareReports(before, now, { ...OPTIONS, only: /conv 2/ });
  assert.deepEqual([only.gone, only.added], [[], ["conv 2 forward"]]);
  const nothing = compareReports(newReport(ENVIRONMENT, false), now, OPTIONS);
  assert.equal(nothing.passed, false);
  assert.match(
    formatComparison("old.json", nothing, 0.25),
    /no row that can be judged is in both reports\n$/,
  );
});

Deno.test("another driver is noted, another adapter refused by name", () => {
  const { notes } = compareReports(fakeReport(0.4, 1), fakeReport(0.4, 1, { driver: "Fake 2" }), OPTIONS);
  assert.deepEqual(notes, ["driver: Fake 1.2 before, Fake 2 now"]);
  checkAdapter("old.json", "Fake 9000", "Fake 9000");
  assert.throws(() => checkAdapter("old.json", "Fake 9000", "Fake 1"), (error: Error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /--compare.*Fake 1, not of Fake 9000, or --any-adapter.*old\.json/);
    return true;
  });
});
