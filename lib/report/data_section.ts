/**
 * Data of a run: images, classes, the files they were made of.
 *
 * @module
 */
import type { ImageFileOptions } from "../data/image_options.ts";
import type { ImageFileSummary } from "../data/summary.ts";
import { type Html, html } from "../html.ts";
import type { ClassImages } from "../train/events.ts";
import { countOf } from "./format.ts";
import { captioned, type Fact, factList, folded, rowTable, section } from "./markup.ts";
import { lastStart, type RunRecord } from "./run_record.ts";

/** Classes named; of more, the first. */
const MAX_CLASSES = 100;

/** Data of a run. */
export function dataSection(run: RunRecord): Html | undefined {
  const { dataset, classes, pictures } = run;
  const start = lastStart(run);
  const facts: Fact[] = [
    ["Data set", dataset?.name],
    ["Path", dataset?.source],
    ["Images", dataset?.images?.toLocaleString("en-US")],
    [
      "Size",
      dataset?.height === undefined
        ? undefined
        : `${dataset.height} x ${dataset.width} pixels, ${channelsOf(dataset.channels)}`,
    ],
    ["Fitted", dataset?.imageOptions && fittingInWords(dataset.imageOptions)],
    ...dataset?.files ? factsOf(dataset.files) : [],
    ["Training", start && countOf(start.trainImages, "image")],
    ["Validation", start && countOf(start.validationImages, "image")],
    ["Classes", classes.length > 0 ? classesInWords(classes) : undefined],
    ["Digest (SHA-256)", dataset && html`<code>${dataset.digest}</code>`],
  ];
  return section("data", "Data", [
    factList(facts),
    captioned(pictures.data, "Images of the data by class", "wide"),
    classTable(dataset?.classes ?? []),
    notesOf(dataset?.files),
  ]);
}

/** Files that the images were made of. */
function factsOf({ files, widths, heights, resized, converted, leftOut }: ImageFileSummary): Fact[] {
  const changes = Object.entries(converted).map(([trait, count]) =>
    `${count.toLocaleString("en-US")} ${trait}`
  );
  return [
    ["Files", files.toLocaleString("en-US")],
    ["Their sizes", files > 0 ? `${rangeOf(heights)} x ${rangeOf(widths)} pixels` : undefined],
    ["Resized", resized > 0 ? countOf(resized, "file") : undefined],
    ["Converted", changes.join(", ")],
    ["Left out", leftOut > 0 ? `${countOf(leftOut, "file")} that cannot be decoded` : undefined],
  ];
}

/** Images of each class in the run. */
function classTable(classes: readonly ClassImages[]): Html | undefined {
  if (classes.length === 0) return undefined;
  const rows = classes.map(({ name, train, validation }) => ({
    heading: name,
    cells: [train.toLocaleString("en-US"), validation.toLocaleString("en-US")],
  }));
  return folded(
    "Images by class",
    rowTable("Images of the run by class", ["Class", "Training", "Validation"], rows),
  );
}

function notesOf(files: ImageFileSummary | undefined): Html | undefined {
  const notes = [...files?.layoutNotes ?? [], ...files?.notes ?? []];
  if (notes.length === 0) return undefined;
  return folded(
    "Notes on reading",
    html`<ul class="notes">${notes.map((note) => html`<li>${note}</li>`)}</ul>`,
  );
}

function rangeOf([least, most]: readonly [number, number]): string {
  return least === most ? String(least) : `${least} to ${most}`;
}

/** Fitting of images of other shapes, and what is under transparent parts. */
function fittingInWords({ fit = "crop", background = [255, 255, 255] }: ImageFileOptions): string {
  const colour = `rgb(${background.join(", ")})`;
  return fit === "pad" ? `pad, with a border of ${colour}` : `${fit}, transparent parts on ${colour}`;
}

function channelsOf(channels: number | undefined): string {
  return channels === 1 ? "grey" : "colour";
}

function classesInWords(classes: readonly string[]): string {
  const more = classes.length > MAX_CLASSES ? `, and ${classes.length - MAX_CLASSES} more` : "";
  return `${classes.length}: ${classes.slice(0, MAX_CLASSES).join(", ")}${more}`;
}
