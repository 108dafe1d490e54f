import assert from "node:assert/strict";
import { lossesByTimestep } from "../../lib/report/evaluation_section.ts";
import { parseLog } from "../../lib/report/run_log.ts";
import { logLines, runRecord } from "../support/report.ts";

/** A run that was evaluated after each of its epochs. */
function evaluated(epochs: number) {
  const evaluations = Array.from({ length: epochs }, (_, i) => ({
    ...{
      type: "evaluation",
      epoch: i + 1,
      step: 4 * i + 4,
      images: 2,
      bitsPerDimension: 7,
      standardError: null,
    },
    losses: [0, 1].map((stratum) => ({
      ...{ timesteps: [500 * stratum, 500 * stratum + 499], noise: 1, x0: 1 },
      target: 1 / (i + stratum + 1),
    })),
  }));
  const lines = [...logLines(epochs), ...evaluations].map((line) => JSON.stringify(line));
  return runRecord({ log: parseLog(lines.join("\n")) });
}

/** Texts of the cells of each row. */
function rowsOf(html: string): string[][] {
  return [...html.matchAll(/<tr[^]*?<\/tr>/g)].map(([row]) =>
    [...row.matchAll(/<t[hd][^>]*>([^]*?)<\/t[hd]>/g)].map(([, cell]) => cell.trim())
  );
}

Deno.test("losses by timestep have a column for each evaluation, and for six of many", () => {
  assert.deepEqual(rowsOf(lossesByTimestep(evaluated(2))!.text), [
    ["Time input", "Epoch 1", "Epoch 2"],
    ["0 to 499", "1", "0.5000"],
    ["500 to 999", "0.5000", "0.3333"],
  ]);
  const [columns] = rowsOf(lossesByTimestep(evaluated(11))!.text);
  assert.deepEqual(columns.slice(1), [1, 3, 5, 7, 9, 11].map((epoch) => `Epoch ${epoch}`));
  assert.equal(lossesByTimestep(runRecord()), undefined);
});
