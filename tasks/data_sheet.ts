/**
 * Summary of a run's images: lines of text, and a contact sheet.
 *
 * @module
 */
import { type ClassImages, type DataEvent, type ImageDataset, Images } from "../mod.ts";
import { cropped, frameImage } from "../lib/data/decode/framing.ts";
import { inRgb } from "../lib/data/rgb_images.ts";
import { writable } from "../lib/image/font.ts";
import { evenly } from "../lib/sampling/illustrate.ts";
import { type Picture, writePicture } from "../terminal/pictures.ts";
import { counted } from "../lib/counted.ts";

/** Classes that are listed one by one. */
const LISTED_CLASSES = 12;
/** Classes and images of each on the sheet. */
const SHEET_CLASSES = 24;
const SHEET_COLUMNS = 8;
/** Images on the sheet of a data set without classes. */
const SHEET_IMAGES = 64;
/** Largest side of an image on the sheet, pixels, of few and of many classes; smaller ones are enlarged towards it. */
const LARGE_SIDE = 96;
const SMALL_SIDE = 64;

/** A few lines about a run's images. */
export function describeImages(event: DataEvent): string[] {
  const { name, images, height, width, channels, trainImages, validationImages, ownSplit, files } = event;
  const colours = channels === 1 ? "grey" : "colour";
  const split = validationImages === 0 ? "" : ownSplit ? ", as the data comes" : ", at random";
  const used = trainImages + validationImages;
  const lines: [string, string][] = [
    ["images", `${images} of ${height}x${width} pixels, ${colours}`],
    [
      "split",
      `${trainImages} for training, ${validationImages} for validation${split}` +
      (used < images ? `; ${images - used} unused` : ""),
    ],
    ["classes", describeClasses(event.classes)],
    ...files
      ? [["files", `${range(files.widths)} wide, ${range(files.heights)} high`] as [string, string]]
      : [],
    ...(files?.notes ?? []).map((note): [string, string] => ["note", note]),
  ];
  return [`data ${name}`, ...lines.map(([head, text]) => `  ${head.padEnd(8)}${text}`)];
}

function describeClasses(classes: readonly ClassImages[]): string {
  if (classes.length === 0) return "none";
  const sizes = classes.map(({ train, validation }) => train + validation);
  if (classes.length <= LISTED_CLASSES) {
    return classes.map(({ name }, i) => `${name} ${sizes[i]}`).join(", ");
  }
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  if (least === most) return `${classes.length} of ${counted(least, "image")}`;
  const nameOf = (size: number) => classes[sizes.indexOf(size)]!.name; // one of the sizes
  return `${classes.length} of ${least} (${nameOf(least)}) to ${most} (${nameOf(most)}) images`;
}

function range([least, most]: readonly [number, number]): string {
  return least === most ? `${least}` : `${least} to ${most}`;
}

/**
 * Draws the contact sheet: a row of images per class, with its name and number of images; of many classes, some.
 *
 * @param path of the PNG
 */
export async function drawDataSheet(path: string, data: ImageDataset): Promise<Picture[]> {
  const { labels, classes } = data;
  const indices = Array.from({ length: data.count }, (_, i) => i);
  const byClass = Map.groupBy(indices, (i) => labels[i]!); // an image has a label
  const shown = evenly(classes.length, SHEET_CLASSES);
  const rows = shown.map((label) => spread(byClass.get(label) ?? [], SHEET_COLUMNS));
  const columns = classes.length === 0 ? SHEET_COLUMNS : Math.max(...rows.map(({ length }) => length));
  const side = classes.length > LISTED_CLASSES ? SMALL_SIDE : LARGE_SIDE;
  const blank = thumbnail(data, undefined, side);
  const cells = classes.length === 0
    ? spread(indices, SHEET_IMAGES).map((i) => thumbnail(data, i, side))
    : rows.flatMap((row) =>
      Array.from({ length: columns }, (_, column) => {
        const { [column]: i } = row;
        return i === undefined ? blank : thumbnail(data, i, side);
      })
    );
  const { height, width } = blank;
  const scale = Math.max(1, Math.floor(side / Math.max(height, width)));
  const rowLabels = shown.map((label) => `${classes[label]} (${byClass.get(label)?.length ?? 0})`);
  const sheet = Images.concat(cells).grid({
    columns,
    scale,
    ...rowLabels.length > 0 ? { rowLabels } : {},
  });
  await writePicture(path, await sheet.png({ data: data.name, images: String(data.count) }));
  const some = shown.length < classes.length ? ` of ${shown.length} of the ${classes.length} classes` : "";
  const called = shown.flatMap((label, row) => {
    const name = classes[label]!; // evenly() chooses classes that there are
    return writable(name, "") === name ? [] : [`row ${row + 1}: ${name}`];
  });
  const names = called.length === 0 ? "" : `; ${called.join(", ")}`;
  return [{ path, what: `images${some}${names}` }];
}

/** At most `most` of the values, evenly spread. */
function spread(values: readonly number[], most: number): number[] {
  return evenly(values.length, most).map((i) => values[i]!); // below the length
}

/** An image of the data set, reduced to a largest side; a white one without an index. */
function thumbnail(data: ImageDataset, index: number | undefined, side: number): Images {
  const { height, width } = data;
  const factor = Math.min(1, side / Math.max(height, width));
  const size = {
    height: Math.max(1, Math.round(factor * height)),
    width: Math.max(1, Math.round(factor * width)),
  };
  const pixels = new Uint8Array(3 * size.height * size.width).fill(255);
  if (index !== undefined) {
    const rgb = inRgb(data).images.read([index]);
    const rgba = new Uint8Array(4 * height * width).fill(255);
    for (let i = 0; i < height * width; i++) rgba.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
    frameImage({ height, width, rgba }, { ...cropped(size), fit: "squash" }, pixels);
  }
  return new Images(pixels, 1, size.height, size.width);
}
