import assert from "node:assert/strict";
import type { RunRecord } from "../../lib/report/run_record.ts";
import { samplesSection, shownSamples } from "../../lib/report/samples_section.ts";
import { runRecord } from "../support/report.ts";

/** Pictures of a run with a grid of each of these epochs, whose only byte is the epoch. */
function pictures(epochs: readonly number[], samplesLeftOut = 0): Pick<RunRecord, "pictures"> {
  const samples = epochs.map((epoch) => ({ epoch, type: "image/png" as const, bytes: Uint8Array.of(epoch) }));
  return { pictures: { samples, samplesLeftOut } };
}

const sectionOf = (...runs: RunRecord[]) => String(samplesSection(runs));
const captions = (html: string) =>
  [...html.matchAll(/<figcaption>([^]*?)<\/figcaption>/g)]
    .map(([, caption]) => caption.replace(/<[^>]*>/g, "").replace(/\s+/g, " ").trim());

Deno.test("the page has the last grid's picture, its script those of the epochs before", () => {
  const run = runRecord(pictures([1, 2, 5]));
  assert.deepEqual(shownSamples([run, runRecord()]), [
    {
      run: 0,
      grids: [
        { epoch: 1, src: "data:image/png;base64,AQ==" },
        { epoch: 2, src: "data:image/png;base64,Ag==" },
        { epoch: 5, src: null },
      ],
    },
    { run: 1, grids: [] },
  ]);
  assert.match(sectionOf(run), /src="data:image\/png;base64,BQ=="/);
});

Deno.test("samples of one run have no label, of several the run's name, also where one has none", () => {
  assert.deepEqual(captions(sectionOf(runRecord(pictures([1, 2])))), ["epoch 2"]);
  const several = sectionOf(
    runRecord({ name: "a", ...pictures([3]) }),
    runRecord({ name: "b" }),
    runRecord({ name: "c", ...pictures([1]) }),
  );
  assert.deepEqual(captions(several), ["a, epoch 3", "b, no samples", "c, epoch 1"]);
  assert.match(several, /<output for="epoch">epoch 3</);
  assert.equal(samplesSection([runRecord(), runRecord()]), undefined);
});

Deno.test("there is a slider where there are epochs to choose from", () => {
  assert.doesNotMatch(sectionOf(runRecord(pictures([4]))), /class="slider"/);
  assert.match(sectionOf(runRecord(pictures([3, 4]))), /class="slider"/);
});

Deno.test("the samples' alternative text names the classes of the rows, if there are any", () => {
  assert.match(sectionOf(runRecord(pictures([1]))), /alt="Grid of samples, one row per class: cat, dog"/);
  assert.match(sectionOf(runRecord({ ...pictures([1]), classes: [] })), /alt="Grid of samples"/);
});

Deno.test("grids that are left out are counted over all runs", () => {
  assert.doesNotMatch(sectionOf(runRecord(pictures([1]))), /left out/);
  assert.match(
    sectionOf(runRecord(pictures([1], 2)), runRecord(pictures([1], 3))),
    / 5 of the earlier grids are left out/,
  );
});
