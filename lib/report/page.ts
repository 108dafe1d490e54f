/**
 * A report of one or more training runs as one HTML file without external resources: it opens offline, and can be mailed.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { Html, html, scriptJson } from "../html.ts";
import { REPORT_SCRIPT, REPORT_STYLE } from "./assets.ts";
import { type Chart, chartsOf, runAxis } from "./charts.ts";
import { formatTime, formatValue } from "./format.ts";
import { folded, rowTable, section } from "./markup.ts";
import { dataSection } from "./data_section.ts";
import { originSection } from "./origin_section.ts";
import { lossesByTimestep } from "./evaluation_section.ts";
import { forwardSection, reverseSection } from "./process_section.ts";
import { lastStart, type RunRecord } from "./run_record.ts";
import { samplesSection, shownSamples } from "./samples_section.ts";
import { differencesSection, settingsSection } from "./settings_section.ts";
import { ledeOf, measuresTable, runLabel, summaryOf } from "./summary_section.ts";
import type { ChartLibrary } from "./uplot.ts";

/** What a page is made with, besides the runs. */
export interface PageParts {
  readonly charts: ChartLibrary;
  /** Time of writing, ISO 8601. */
  readonly time: string;
}

/** The HTML of a report of one run, or of a comparison of several. */
export function reportHtml(runs: readonly RunRecord[], { charts: library, time }: PageParts): string {
  const charts = chartsOf(runs);
  const [run] = runs;
  const [title, content] = runs.length === 1 && run
    ? [run.name, runContent(run, charts)]
    : [`Comparison of ${runs.length} runs`, comparisonContent(runs, charts)];
  const data = { runs: runs.map(runAxis), charts, samples: shownSamples(runs) };
  const script = inlineScript(`${library.script}\n${REPORT_SCRIPT}`);
  const style = inlineStyle(`${library.style}\n${REPORT_STYLE}`);
  return html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta http-equiv="Content-Security-Policy"
          content="default-src 'none'; img-src data:; style-src '${digestOf(style)}'; script-src '${digestOf(
            script,
          )}'; base-uri 'none'; form-action 'none'">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>${title} – denoise training report</title>
        <style>${style}</style>
      </head>
      <body>
        <header class="top">
    <p class="brand">denoise · training report</p>
    <h1>${title}</h1>
    ${content.lede}
        </header>
        <main>
    ${content.sections}
        </main>
        <footer>Written ${formatTime(
          time,
        )}. This file is all there is to it: it loads nothing, and can be sent as it is.</footer>
        <script type="application/json" id="report">${scriptJson(data)}</script>
        <script>${script}</script>
      </body>
    </html>
  `.text.trimStart();
}

interface Content {
  readonly lede: Html;
  readonly sections: readonly (Html | undefined)[];
}

function runContent(run: RunRecord, charts: readonly Chart[]): Content {
  return {
    lede: html`<p class="lede">${ledeOf(run)}</p>`,
    sections: [
      html`<section aria-label="Key figures">${summaryOf(run)}</section>`,
      curvesSection([run], charts),
      samplesSection([run]),
      reverseSection([run]),
      forwardSection(run),
      settingsSection(run),
      dataSection(run),
      originSection(run),
    ],
  };
}

function comparisonContent(runs: readonly RunRecord[], charts: readonly Chart[]): Content {
  return {
    lede: html`<ul class="runs">${
      runs.map((run, i) => html`<li>${runLabel(run, i)}: ${ledeOf(run)}</li>`)
    }</ul>`,
    sections: [
      section("measures", "Final measures", [measuresTable(runs)]),
      differencesSection(runs),
      curvesSection(runs, charts),
      samplesSection(runs),
      reverseSection(runs),
    ],
  };
}

/** Charts, which the page's script draws, and what they are drawn from as a table. */
function curvesSection(runs: readonly RunRecord[], charts: readonly Chart[]): Html | undefined {
  return section("curves", "Curves", [
    ...charts.length === 0 ? [] : [
      html`<noscript><p class="hint">The curves need JavaScript; the tables below do not.</p></noscript>`,
      html`<div class="tools" role="group" aria-label="Curves" hidden></div>`,
      html`<div class="charts">${
        charts.map(({ id, title }, i) =>
          html`
            <figure class="chart${i === 0 && " first"}" data-chart="${id}">
              <figcaption>
                <h3>${title}</h3>
              </figcaption>
            </figure>
          `
        )
      }</div>`,
    ],
    ...runs.length === 1 ? runs.map(lossesByTimestep) : [],
    ...runs.map((run) => epochTable(run, runs.length > 1 ? `Epochs of ${run.name}` : "Table of epochs")),
  ]);
}

function epochTable(run: RunRecord, summary: string): Html | undefined {
  if (run.history.length === 0) return undefined;
  const images = lastStart(run)?.trainImages ?? NaN;
  const rows = run.history.map(({ epoch, step, trainLoss, valLoss, seconds }) => ({
    heading: String(epoch),
    cells: [
      step.toLocaleString("en-US"),
      trainLoss.toFixed(5),
      valLoss?.toFixed(5) ?? "–",
      seconds.toFixed(1),
      Number.isFinite(images) ? formatValue(images / seconds) : "–",
    ],
  }));
  const columns = [
    "Epoch",
    "Steps",
    "Training loss",
    "Validation loss",
    "Seconds",
    "Images per second, with validation",
  ];
  return folded(summary, rowTable(summary, columns, rows));
}

/** Keeps the text of a script from ending its element. */
function inlineScript(text: string): Html {
  return new Html(`\n${text.replaceAll(/<(?=\/script|!--)/gi, "\\x3c")}\n`);
}

function inlineStyle(text: string): Html {
  return new Html(`\n${text.replaceAll(/<(?=\/style)/gi, "\\3c ")}\n`);
}

/** Source expression of a Content-Security-Policy that allows a text and no other. */
function digestOf({ text }: Html): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
