/**
 * Results of an evaluation for readers: lines, page, exported samples.
 *
 * @module
 */
import { join } from "node:path";
import { encodeNpz } from "../../lib/evaluation/archive_export.ts";
import type { ImageMeasures } from "../../lib/evaluation/image_measures.ts";
import type { Preprocessing } from "../../lib/evaluation/inception/inception_v3.ts";
import type { InceptionMeasures } from "../../lib/evaluation/inception/measures.ts";
import type { NearestSummary } from "../../lib/evaluation/memorisation.ts";
import { reportPage, type ReportSection } from "../../lib/evaluation/page.ts";
import { exists, removeLeftovers, writeDurable } from "../../lib/files/durable.ts";
import { Images } from "../../lib/image/images.ts";
import { counted } from "../../lib/counted.ts";
import type { ExportForm } from "./flags.ts";
import type { HeldOut } from "../run_data.ts";
import type { ConditionedLikelihood } from "./likelihood.ts";
import type { Drawing } from "./samples.ts";

/** Result of an evaluation. */
export interface EvaluationResult {
  readonly model: { readonly path: string; readonly digest: string; readonly classes: readonly string[] };
  readonly data: {
    readonly name: string;
    readonly digest: string;
    /** Training images. */
    readonly images: number;
    /** Split of the images that stand for images not seen in training. */
    readonly heldOut: HeldOut;
  };
  readonly classifier: { readonly digest: string; readonly features: number };
  /** Of sampling. */
  readonly settings: Readonly<Record<string, string | number>>;
  /** Name of the adapter. */
  readonly adapter: string;
  /** The command that computed it. */
  readonly command: string;
  /** Absent if it was not asked for. */
  readonly likelihood?: ConditionedLikelihood;
  readonly images: number;
  readonly samples: ImageMeasures;
  /** As many test images, for comparison. */
  readonly testImages: ImageMeasures;
  /** In the features of InceptionV3, if they were asked for. */
  readonly inception: InceptionResult | null;
  /** By part of the work. */
  readonly seconds: Readonly<Record<string, number>>;
}

/** FID, KID and Inception score. */
export interface InceptionResult {
  /** SHA-256 of the weights. */
  readonly digest: string;
  readonly preprocessing: Preprocessing;
  readonly samples: InceptionMeasures;
  /** As many test images. */
  readonly testImages: InceptionMeasures;
}

/** A result with a summary of the nearest training images. */
export interface WrittenResult extends EvaluationResult {
  readonly nearestTraining: Readonly<
    Record<"samples" | "testImages", Omit<NearestSummary, "pairs">>
  >;
}

/** Rows of a table: measure, samples, test images. */
function tableRows(
  { samples, testImages, inception, nearestTraining }: WrittenResult,
): [string, string, string][] {
  const share = (value: number | null) => value === null ? "-" : `${(100 * value).toFixed(1)} %`;
  const row = (name: string, show: (measures: ImageMeasures) => string): [string, string, string] => [
    name,
    show(samples),
    show(testImages),
  ];
  const distance = (name: string, key: "smallest" | "median"): [string, string, string] => [
    name,
    nearestTraining.samples[key].toPrecision(3),
    nearestTraining.testImages[key].toPrecision(3),
  ];
  return [
    row("Fréchet distance", ({ frechetDistance }) => frechetDistance.toPrecision(4)),
    row(
      "kernel distance",
      ({ kernelDistance: { mean, deviation } }) => `${mean.toPrecision(3)} ± ${deviation.toPrecision(2)}`,
    ),
    row("precision", ({ precision }) => share(precision)),
    row("recall", ({ recall }) => share(recall)),
    row("class consistency", ({ classConsistency }) => share(classConsistency)),
    row("classifier score", ({ classifierScore }) => classifierScore.toPrecision(3)),
    ...inceptionRows(inception),
    distance("nearest training image, smallest distance", "smallest"),
    distance("nearest training image, median distance", "median"),
  ];
}

function inceptionRows(result: InceptionResult | null): [string, string, string][] {
  if (!result) return [];
  const row = (name: string, show: (measures: InceptionMeasures) => string): [string, string, string] => [
    name,
    show(result.samples),
    show(result.testImages),
  ];
  const estimate = ({ mean, deviation }: { mean: number; deviation: number }) =>
    `${mean.toPrecision(3)} ± ${deviation.toPrecision(2)}`;
  return [
    row("FID", ({ fid }) => fid.toPrecision(4)),
    row("KID", ({ kid }) => estimate(kid)),
    row("Inception score", ({ inceptionScore }) => estimate(inceptionScore)),
  ];
}

/** Lines of text with the measures. */
export function summaryLines(result: WrittenResult): string[] {
  const rows = [
    ["", counted(result.samples.images, "sample"), `${result.data.heldOut} images`],
    ...tableRows(result),
  ];
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map(([name, samples, test]) =>
    `${name!.padEnd(widths[0]!)}  ${samples!.padEnd(widths[1]!)}  ${test}`.trimEnd()
  );
}

/** Pictures of the page by file name. */
export type ResultPictures = Readonly<
  Record<"samples.png" | "neighbours.png" | "neighbours-test.png", Uint8Array>
>;

/**
 * The page of a result.
 *
 * @param likelihood sections about it, if it was measured
 */
export function resultPage(
  result: WrittenResult,
  pictures: ResultPictures,
  likelihood: readonly ReportSection[] = [],
): string {
  const { model, data, classifier, inception, settings, seconds } = result;
  const others = `${data.heldOut} images`;
  const sections: ReportSection[] = [
    {
      heading: "Samples against training images",
      text:
        "Distances (smaller is better) and shares in the features of the project's classifier; FID, KID and Inception score, if " +
        `there are any, in those of InceptionV3. As many ${others} show how good a score can be.`,
      table: { columns: ["measure", "samples", others], rows: tableRows(result) },
    },
    ...likelihood,
    {
      heading: "Nearest training images",
      text:
        `The samples that are nearest to a training image, and the ${others} that are: a model that memorises draws ` +
        `samples nearer than ${others} are. Distances between features are above.`,
      pictures: [
        { png: pictures["neighbours.png"], description: "samples and their nearest training images" },
        {
          png: pictures["neighbours-test.png"],
          description: `${others} and their nearest training images`,
        },
      ],
    },
    {
      heading: "Samples",
      pictures: [{ png: pictures["samples.png"], description: "the first samples, the classes in turn" }],
    },
  ];
  return reportPage({
    title: `Evaluation of ${model.path}`,
    settings: {
      command: result.command,
      adapter: result.adapter,
      date: new Date().toISOString().slice(0, 10),
      model: model.path,
      "model digest": model.digest,
      data: `${data.name}, ${data.images} training images and ${others}`,
      classifier: classifier.digest,
      features: classifier.features,
      ...inception ? { InceptionV3: `${inception.digest}, preprocessing ${inception.preprocessing}` } : {},
      ...settings,
      ...Object.fromEntries(Object.entries(seconds).map(([part, time]) => [`${part}, seconds`, time])),
    },
    sections,
  });
}

/** Bytes of images of equal size. */
export interface ImageBytes {
  readonly images: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/**
 * Writes samples for others' tools.
 *
 * @returns what was written, for a line
 */
export async function exportSamples(
  out: string,
  form: ExportForm,
  { images, height, width }: ImageBytes,
  { count, labels, classes }: Drawing,
): Promise<string> {
  if (form === "npz") {
    const path = join(out, "samples.npz");
    await writeDurable(path, encodeNpz(images, count, height, width));
    return `${counted(count, "sample")} in ${path}`;
  }
  const folder = join(out, "png");
  const all = new Images(images, count, height, width);
  const names = Array.from({ length: count }, (_, i) => {
    const label = labels ? `-${String(classes[labels[i]!]).replace(/[^\p{L}\p{N} _-]/gu, "_")}` : "";
    return `${String(i).padStart(6, "0")}${label}.png`;
  });
  await removeOtherSamples(folder, new Set(names));
  for (const [i, name] of names.entries()) await writeDurable(join(folder, name), await all.at(i).png());
  return `${counted(count, "sample")} in ${folder}`;
}

/** Removes samples of an earlier export: other tools take all files of a folder. */
async function removeOtherSamples(folder: string, names: ReadonlySet<string>): Promise<void> {
  if (!await exists(folder)) return;
  await removeLeftovers(folder);
  for (const { name } of await Array.fromAsync(Deno.readDir(folder))) {
    if (/^\d{6}(-.*)?\.png$/.test(name) && !names.has(name)) await Deno.remove(join(folder, name));
  }
}
