/**
 * Sample grids by epoch, of several runs side by side.
 *
 * @module
 */
import { type Html, html } from "../html.ts";
import { dataUrl, section } from "./markup.ts";
import type { RunRecord } from "./run_record.ts";
import { runLabel } from "./summary_section.ts";

/** Grids of a run, as the page's script shows them. */
export interface ShownSamples {
  /** Index of the run. */
  readonly run: number;
  /** Ascending by epoch; the last one's picture is in the page already. */
  readonly grids: readonly { readonly epoch: number; readonly src: string | null }[];
}

/** Grids of all runs for the page's script. */
export function shownSamples(runs: readonly RunRecord[]): ShownSamples[] {
  return runs.map(({ pictures: { samples } }, run) => ({
    run,
    grids: samples.map((grid, i) => ({
      epoch: grid.epoch,
      src: i < samples.length - 1 ? dataUrl(grid) : null,
    })),
  }));
}

/** Section with a slider over the epochs that any run has a grid of. */
export function samplesSection(runs: readonly RunRecord[]): Html | undefined {
  const epochs = [...new Set(runs.flatMap(({ pictures }) => pictures.samples.map(({ epoch }) => epoch)))];
  if (epochs.length === 0) return undefined;
  const last = Math.max(...epochs);
  return section("samples", "Samples by epoch", [
    html`<p class="hint">Drawn with the averaged weights, from the same seeds in each epoch${
      runs.length > 1 && ". A run without a grid of the chosen epoch shows its last one before"
    }.${leftOut(runs)}</p>`,
    epochs.length > 1 && html`
      <div class="slider" hidden>
        <button type="button" data-step="-1" aria-label="Earlier epoch">‹</button>
        <input type="range" id="epoch" min="0" max="${epochs.length - 1}" value="${epochs.length -
          1}" step="1"
          aria-label="Epoch of the samples">
        <button type="button" data-step="1" aria-label="Later epoch">›</button>
        <output for="epoch">epoch ${last}</output>
      </div>
    `,
    html`<div class="grids${runs.length > 1 && " several"}">${
      runs.map((run, i) => gridOf(run, i, runs.length > 1))
    }</div>`,
  ]);
}

function gridOf(run: RunRecord, index: number, labelled: boolean): Html | undefined {
  const grid = run.pictures.samples.at(-1);
  const label = labelled && html`
    ${runLabel(run, index)},
  `;
  if (!grid) {
    return labelled
      ? html`
        <figure>
          <figcaption>${label}no samples</figcaption>
        </figure>
      `
      : undefined;
  }
  const rows = run.classes.length > 0 ? `, one row per class: ${run.classes.slice(0, 20).join(", ")}` : "";
  return html`
    <figure
      data-run="${index}"><img src="${dataUrl(
        grid,
      )}" alt="Grid of samples${rows}"><figcaption>${label}<span class="epoch">epoch ${grid
        .epoch}</span></figcaption></figure>
  `;
}

function leftOut(runs: readonly RunRecord[]): string {
  const count = runs.reduce((sum, { pictures }) => sum + pictures.samplesLeftOut, 0);
  return count === 0
    ? ""
    : ` ${count} of the earlier grids are left out to keep this file small; the run's folder has them.`;
}
