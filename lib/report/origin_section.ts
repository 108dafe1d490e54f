/**
 * Data, machine and versions of a run, and the commands to repeat it.
 *
 * @module
 */
import { type Html, html } from "../html.ts";
import type { ImageFileOptions } from "../data/image_options.ts";
import { countOf, formatTime } from "./format.ts";
import { captioned, command, type Fact, factList, section } from "./markup.ts";
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
    ["Training", start && countOf(start.trainImages, "image")],
    ["Validation", start && countOf(start.validationImages, "image")],
    ["Classes", classes.length > 0 ? classesInWords(classes) : undefined],
    ["Digest (SHA-256)", dataset && html`<code>${dataset.digest}</code>`],
  ];
  return section("data", "Data", [
    factList(facts),
    captioned(pictures.data, "Images of the data by class", "wide"),
  ]);
}

/** Machine, versions, times and commands of a run. */
export function originSection(run: RunRecord): Html | undefined {
  const { machine, log: { starts }, commands, settings } = run;
  const resumes = starts.slice(1).map(({ resumedFrom, time }) =>
    `after step ${resumedFrom}, ${formatTime(time)}`
  );
  const facts: Fact[] = [
    ["Adapter", machine?.adapter.name],
    ["Driver", machine?.driver],
    ["WebGPU", machine?.webgpu],
    ["Precision", settings?.precision],
    [
      "Device memory",
      starts.length > 0 ? `${Math.round(starts.at(-1)!.deviceBytes / 2 ** 20)} MiB` : undefined,
    ],
    ["System", machine?.system],
    ["Versions", machine?.denoise && `denoise ${machine.denoise}, Deno ${machine.deno}`],
    ["Started", starts[0] && formatTime(starts[0].time)],
    ["Resumed", resumes.join("; ")],
    ["Fine-tuned from", run.init],
    ["Directory", run.directory],
  ];
  return section("origin", "Repeat it", [
    command("Train again", commands.repeat),
    command("Continue", commands.resume),
    command("Draw images", commands.sample),
    factList(facts),
  ]);
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
