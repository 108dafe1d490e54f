import assert from "node:assert/strict";
import { chartsOf, runAxis } from "../../lib/report/charts.ts";
import { parseLog } from "../../lib/report/run_log.ts";
import { logLines, runRecord } from "../support/report.ts";

Deno.test("the losses of one run are in one chart, those of several in one chart per loss", () => {
  const one = chartsOf([runRecord()]);
  assert.deepEqual(one.map(({ id }) => id), ["loss", "learning-rate", "gradient-norm", "speed"]);
  assert.deepEqual(one[0].curves.map(({ name, x }) => [name, x.length]), [
    ["training, by step", 12],
    ["training, mean of the epoch", 3],
    ["validation, averaged weights", 3],
  ]);
  assert.deepEqual(one[0].curves.map(({ color, look }) => [color, look]), [
    [0, "faint"], // the mean of the epoch is in the colour of its steps
    [0, "marked"],
    [1, "marked"],
  ]);
  const several = chartsOf([runRecord({ name: "a" }), runRecord({ name: "b" })]);
  assert.deepEqual(several.slice(0, 2).map(({ id, curves }) => [id, curves.map(({ name }) => name)]), [
    ["validation-loss", ["a", "b"]],
    ["training-loss", ["a", "b"]],
  ]);
});

Deno.test("curves of more runs than there are colours differ in their dashes", () => {
  const runs = Array.from({ length: 8 }, (_, i) => runRecord({ name: `run ${i}` }));
  const looks = chartsOf(runs)[0].curves.map(({ color, dash }) => `${color} ${dash}`);
  assert.equal(new Set(looks).size, 8);
});

Deno.test("evaluations have charts where there are any, and values that are not numbers are left out", () => {
  const evaluation = (epoch: number, bitsPerDimension: number) => ({
    ...{
      type: "evaluation",
      epoch,
      step: 4 * epoch,
      images: 10,
      bitsPerDimension,
      standardError: null,
      losses: [],
    },
    samples: { count: 8, frechetDistance: 20 - epoch, classConsistency: null },
  });
  const lines = [...logLines(2), evaluation(1, 7), evaluation(2, 6), { type: "step", step: 9, loss: null }];
  const log = parseLog(lines.map((line) => JSON.stringify(line)).join("\n"));
  const charts = chartsOf([runRecord({ log })]);
  const of = (id: string) => charts.find((chart) => chart.id === id)?.curves[0];
  assert.deepEqual([of("bits")?.x, of("bits")?.y], [[4, 8], [7, 6]]);
  assert.deepEqual(of("frechet-distance")?.y, [19, 18]);
  assert.equal(of("class-consistency"), undefined);
  assert.equal(of("loss")?.x.at(-1), 8);
});

Deno.test("the axis knows the steps of an epoch and the seconds by its end", () => {
  assert.deepEqual(runAxis(runRecord()), {
    name: "run",
    stepsPerEpoch: 4,
    times: [[4, 30], [8, 60], [12, 90]],
  });
});

Deno.test("losses have a logarithmic axis where they differ much, and no zero", () => {
  const logOf = (...losses: number[]) => {
    const lines = losses.map((loss, i) => JSON.stringify({ type: "step", step: i + 1, epoch: 1, loss }));
    const record = runRecord({ log: parseLog(lines.join("\n")), history: [] });
    return chartsOf([record]).find(({ id }) => id === "loss")?.log;
  };
  assert.equal(logOf(1, 0.5, 0.19), true);
  assert.equal(logOf(0.19, 1), true);
  assert.equal(logOf(1, 0.5, 0.21), false);
  assert.equal(logOf(1, 0), false);
});
