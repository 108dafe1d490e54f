import assert from "node:assert/strict";
import { ledeOf } from "../../lib/report/summary_section.ts";
import { parseLog } from "../../lib/report/run_log.ts";
import { logLines, runRecord } from "../support/report.ts";

Deno.test("the first sentence tells network, data and length, as far as they are known", () => {
  const first = {
    ...{
      type: "start",
      step: 0,
      trainImages: 1,
      settings: { model: {} },
      machine: { adapter: { name: "a" } },
    },
    ...{ dataset: { digest: "d" }, classes: [] },
  };
  const lines = [first, ...logLines(3)];
  const log = parseLog(lines.map((line) => JSON.stringify(line)).join("\n"));
  const known = { log, parameters: 1_234_567 };
  const start = "The tiny network of 1.23 M parameters trained on cifar10 (1 training image, ";
  assert.equal(ledeOf(runRecord(known)), `${start}2 classes) for 12 steps.`);
  assert.equal(ledeOf(runRecord({ ...known, classes: ["cat"] })), `${start}1 class) for 12 steps.`);
  assert.equal(ledeOf(runRecord({ ...known, classes: [] })), `${start}no classes) for 12 steps.`);
  const unknown = runRecord({ settings: undefined, parameters: undefined, dataset: undefined }, {}, 1);
  assert.equal(ledeOf(unknown), "A network trained for 4 steps.");
});
