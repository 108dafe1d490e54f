import assert from "node:assert/strict";
import type { GrowthPoint, GrowthSeries } from "../../bench/growth.ts";
import { fitGrowth, growthPage, growthTable, verdict } from "../../bench/growth_page.ts";
import { bulletList, markdownTable, wrap } from "../../bench/markdown.ts";
import { ENVIRONMENT } from "../support/bench_environment.ts";

/** Points at sizes 1, 2, 4 … of a time in milliseconds. */
function points(count: number, time: (size: number) => number, load = (size: number) => size): GrowthPoint[] {
  return Array.from({ length: count }, (_, i) => {
    const size = 2 ** i;
    return { size, load: load(size), milliseconds: time(load(size)) };
  });
}

function series(points: GrowthPoint[], end?: string): GrowthSeries {
  return { title: "Steps", size: "batch", load: "image", points, end };
}

function close(value: number, expected: number): void {
  assert.ok(
    Math.abs(value - expected) < 1e-9 * Math.max(1, Math.abs(expected)),
    `${value} is not ${expected}`,
  );
}

Deno.test("a fit finds fixed and marginal cost, and the power, of times that follow a rule exactly", () => {
  const line = fitGrowth(points(6, (n) => 20 + 3 * n))!;
  close(line.fixed, 20);
  close(line.marginal, 3);
  close(line.error, 0);
  close(line.lastPower, Math.log2(116 / 68));
  assert.ok(line.power < line.lastPower);
  const square = fitGrowth(points(5, (n) => 0.5 * n ** 2))!;
  close(square.power, 2);
  close(square.lastPower, 2);
  assert.ok(square.error > 0.1);
  assert.equal(fitGrowth(points(1, (n) => n)), undefined);
});

Deno.test("the verdict says linear, less or more, and by how much", () => {
  assert.match(
    verdict(series(points(5, (n) => 2 * n))),
    /^Linear: power 1\.00 over all rows, 1\.00 in the last\. Fitted/,
  );
  const less = verdict(series(points(5, (n) => 20 + 3 * n)));
  assert.match(
    less,
    /^Less than linear: power 0\.\d\d over .* 20\.0 ms and 3\.00 ms more for each image, within 0/,
  );
  assert.match(verdict(series(points(5, (n) => n ** 1.5))), /^More than linear: power 1\.50/);
  const flatAtFirst = series([[1, 10], [2, 12], [4, 24]].map(([size, milliseconds]) => ({
    size,
    load: size,
    milliseconds,
  })));
  assert.match(
    verdict(flatAtFirst),
    /^Less than linear over all rows \(power 0\.63\), linear in the last \(1\.00\)\. Fitted/,
  );
  assert.match(verdict(series(points(2, (n) => n))), /^Linear: power 1\.00\. Fitted/);
  assert.match(verdict(series(points(1, (n) => n))), /One point/);
});

Deno.test("where the load is not the size, both are shown and the power is that of the load", () => {
  const wide: GrowthSeries = {
    ...{ title: "Width", size: "channels", load: "GFLOP" },
    points: points(4, (load) => 10 * load, (size) => size ** 2),
  };
  const [heads, rows] = growthTable(wide);
  assert.deepEqual(heads.slice(0, 3), ["channels", "GFLOP", "ms"]);
  assert.deepEqual(rows[1], ["2", "4.00", "40.0", "10.0", "10.0", "1.00"]);
  assert.match(
    verdict(wide),
    /^Linear: power 1\.00 .* Powers are of the GFLOP; of the channels it is 2\.00\./,
  );
});

Deno.test("the first row compares with nothing, each later one with the row above", () => {
  const [heads, rows] = growthTable(series(points(3, (n) => 6 + 2 * n)));
  assert.deepEqual(heads, ["batch", "ms", "ms/image", "ms for one image more", "power"]);
  assert.deepEqual(rows[0], ["1", "8.00", "8.00", "", ""]);
  assert.deepEqual(rows[2], ["4", "14.0", "3.50", "2.00", "0.49"]);
});

Deno.test("a page has each series with its end, lines of text within the width, and an aligned table", () => {
  const all = [series(points(3, (n) => n), "8 would take about 9 s"), series([], "out of\nmemory")];
  const page = growthPage({ environment: ENVIRONMENT, fmaGflops: 100, series: all });
  assert.match(page, /^# Growth of cost\n\n/);
  assert.match(page, /Fake 9000, driver Fake 1\.2/);
  assert.match(page, /\nEnds here: 8 would take about 9 s\.\n/);
  assert.match(page, /\nEnds here: out of memory\.\n$/);
  const lines = page.split("\n");
  assert.ok(lines.every((line) => line.startsWith("|") || line.length <= 110));
  const table = lines.filter((line) => line.startsWith("|"));
  assert.equal(new Set(table.map(({ length }) => length)).size, 1);
  assert.equal(markdownTable(["a", "long"], [["1", "2"]]), "|   a | long |\n| --: | ---: |\n|   1 |    2 |");
});

Deno.test("text is wrapped between words, not inside of code; list items go on under their first word", () => {
  assert.equal(wrap("one two (`a b c`) three", 10), "one two\n(`a b c`)\nthree");
  const long = Array.from({ length: 30 }, () => "word").join(" ");
  const lines = bulletList([long, "b"]).split("\n");
  assert.ok(lines.every((line) => line.length <= 110));
  assert.deepEqual(lines.map((line) => line.slice(0, 3)), ["- w", "  w", "- b"]);
});
