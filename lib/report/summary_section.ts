/**
 * Beginning of a report: the run in a sentence, its state, and its key figures.
 *
 * @module
 */
import { type Html, html } from "../html.ts";
import { countOf, formatSeconds, formatValue } from "./format.ts";
import { type Fact, factList, rowTable } from "./markup.ts";
import { bestEpoch, lastStart, medianSpeed, type RunRecord, secondsOf, stepsDone } from "./run_record.ts";

/** The run in a sentence: network, data, length. */
export function ledeOf(run: RunRecord): string {
  const start = lastStart(run);
  const network = run.settings === undefined ? "A network" : `${networkOf(run)} network`;
  const parameters = run.parameters && ` of ${(run.parameters / 1e6).toFixed(2)} M parameters`;
  const data = run.dataset && ` on ${run.dataset.name}`;
  const classes = run.classes.length === 0 ? "no classes" : countOf(run.classes.length, "class", "classes");
  const images = start && ` (${countOf(start.trainImages, "training image")}, ${classes})`;
  return [network, parameters, " trained", data, images, ` for ${countOf(stepsDone(run), "step")}.`].join(
    "",
  );
}

/** State of a run in words. */
export function stateOf(run: RunRecord): string {
  const { end } = run.log;
  const total = lastStart(run)?.totalSteps;
  const of = total === undefined ? "" : ` of ${total.toLocaleString("en-US")}`;
  if (end === undefined) {
    return `Not finished when this was written: step ${stepsDone(run).toLocaleString("en-US")}${of}`;
  }
  if (end.error !== undefined) {
    return `Ended with an error after step ${end.step.toLocaleString("en-US")}${of}: ${end.error}`;
  }
  if (end.interrupted) return `Interrupted after step ${end.step.toLocaleString("en-US")}${of}`;
  return end.stoppedEarly ? "Stopped early, as the validation loss fell no more" : "Finished";
}

/** Measures of a run, in the order of their importance; those it has none of are undefined. */
export function measuresOf(run: RunRecord): Fact[] {
  const last = run.history.at(-1);
  const best = bestEpoch(run);
  const evaluation = run.log.evaluations.at(-1);
  const samples = evaluation?.samples;
  const speed = medianSpeed(run);
  const consistency = samples?.classConsistency;
  return [
    ["Validation loss", last?.valLoss === null ? undefined : last && formatValue(last.valLoss!)],
    ["Best validation loss", best && noted(formatValue(best.valLoss), `epoch ${best.epoch}`)],
    ["Training loss", last && formatValue(last.trainLoss)],
    ["Bits per dimension", evaluation && withError(evaluation.bitsPerDimension, evaluation.standardError)],
    [
      "Fréchet distance",
      samples && noted(formatValue(samples.frechetDistance), countOf(samples.count, "sample")),
    ],
    [
      "Class consistency",
      typeof consistency === "number" ? `${(100 * consistency).toFixed(1)} %` : undefined,
    ],
    ["Epochs", run.history.length > 0 ? String(run.history.at(-1)!.epoch) : undefined],
    ["Steps", stepsDone(run).toLocaleString("en-US")],
    ["Time", formatSeconds(secondsOf(run))],
    ["Throughput", speed === undefined ? undefined : noted(formatValue(speed), "images/s")],
  ];
}

/** State and key figures of one run. */
export function summaryOf(run: RunRecord): Html {
  return html`<p class="state">${stateOf(run)}.</p>${factList(measuresOf(run), "figures")}`;
}

/** Final measures of several runs, a row each. */
export function measuresTable(runs: readonly RunRecord[]): Html {
  const measures = runs.map((run) => new Map(measuresOf(run)));
  const names = [...measures[0]!.keys()].filter((name) =>
    measures.some((each) => each.get(name) !== undefined)
  );
  const rows = runs.map((run, i) => ({
    heading: runLabel(run, i),
    cells: [...names.map((name) => measures[i]!.get(name) ?? "–"), stateOf(run)],
  }));
  return rowTable("Measures of each run at its end", ["Run", ...names, "State"], rows);
}

/** A run's name with the colour of its curves. */
export function runLabel(run: RunRecord, index: number): Html {
  return html`<span class="key" data-color="${index % 6}" data-dash="${
    Math.floor(index / 6)
  }"></span>${run.name}`;
}

function networkOf({ settings }: RunRecord): string {
  return settings!.preset === "custom" ? "A custom" : `The ${settings!.preset}`;
}

/** A value with a note in small print. */
function noted(value: string, note: string): Html {
  return html`${value} <small>${note}</small>`;
}

function withError(value: number, error: number | null): string {
  return error === null ? formatValue(value) : `${value.toFixed(3)} ± ${error.toFixed(3)}`;
}
