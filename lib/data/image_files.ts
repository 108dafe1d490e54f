/**
 * Image files as a data set.
 *
 * @module
 */

import { resolve } from "node:path";
import { DataError } from "../errors.ts";
import type { DataProgressListener, ImageDataset } from "./dataset.ts";
import { imageDataset } from "./image_dataset.ts";
import type { ImageTrait } from "./decode/decode.ts";
import type { Colour, Framing } from "./decode/framing.ts";
import { DecoderPool } from "./decode/pool.ts";
import { completeOptions, framingOf, type ImageFileOptions } from "./image_options.ts";
import type { ImageSource } from "./image_source.ts";
import type { Cifar10Split } from "./official.ts";
import type { OpenSink } from "./pixel_sink.ts";
import { FileCounts } from "./summary.ts";
import { contentBytes } from "./tree/file_tree.ts";

/** Images between two progress events. */
const PROGRESS_EVERY = 100;
/** Broken files that a note lists by name. */
const NAMED_FILES = 3;

/**
 * Decodes the images of a source. Decoding runs in workers, so the caller's thread stays responsive.
 *
 * @param split `test` needs a `test` folder beside `train`
 * @param onProgress called every 100 images, and with notes on skipped entries, splits and converted images
 * @param openSink opens the images' destination
 * @throws {ConfigError} if an option is out of its range
 * @throws {DataError} naming the file or folder that does not fit, or cannot be decoded
 */
export async function readImageFiles(
  source: ImageSource,
  split: Cifar10Split,
  options: ImageFileOptions,
  onProgress: DataProgressListener,
  openSink: OpenSink,
): Promise<ImageDataset> {
  const framing = framingOf(options);
  const { classes, images: training, validation = [], notes: layoutNotes } = await source.layout(
    split,
    options.labelColumn,
  );
  const notes: string[] = [];
  const tell = (message: string) => {
    notes.push(message);
    onProgress({ message, note: true });
  };
  for (const message of layoutNotes) onProgress({ message });
  const files = [...training, ...validation];
  const indices = new Map(files.map(({ file }, i) => [file, i]));
  const bytesPerImage = framing.height * framing.width * framing.channels;
  const sink = await openSink(files.length, bytesPerImage);
  const counts = new FileCounts(framing);
  const broken = new Map<number, DataError>();
  const message = `reading images of ${source.path}`;
  let done = 0;
  using pool = new DecoderPool(files.length);
  onProgress({ message, done, total: files.length });
  await pool.forEach(source.read(files.map(({ file }) => file)), async (content) => {
    const { file } = content;
    const i = indices.get(file)!; // a file that was asked for
    try {
      const image = await pool.decode(contentBytes(content), source.describe(file), framing);
      sink.put(i, image.pixels);
      counts.add(image);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      if (options.onBadFile !== "skip") {
        throw new DataError(`${error.message} (\`onBadFile: "skip"\` leaves such files out)`, {
          cause: error,
        });
      }
      broken.set(i, error);
    }
    if (++done % PROGRESS_EVERY === 0) onProgress({ message, done, total: files.length });
  });
  conversionNotes(counts, files.length, framing).forEach(tell);
  if (broken.size > 0) {
    const named = [...broken].sort(([a], [b]) => a - b).slice(0, NAMED_FILES).map(([, { message }]) =>
      message
    );
    tell(
      `left out ${broken.size} of ${files.length} files, which cannot be read: ${named.join("; ")}` +
        (broken.size > NAMED_FILES ? "; …" : ""),
    );
  }
  const kept = files.map((_, i) => i).filter((i) => !broken.has(i));
  if (kept.length === 0) {
    throw new DataError(`${source.path}: none of its ${files.length} images can be read`);
  }
  const firstValidation = kept.findIndex((i) => i >= training.length);
  const name = source.path.split(/[/\\]/).filter((part) => part !== "" && part !== ".").pop() ?? source.path;
  return imageDataset({
    name,
    images: sink.finish(kept),
    labels: Uint8Array.from(kept, (i) => files[i]!.label), // an index of `files`
    classes,
    height: framing.height,
    width: framing.width,
    channels: framing.channels,
    source: resolve(source.path),
    imageOptions: completeOptions(options),
    files: counts.finish(broken.size, layoutNotes, notes),
    ...firstValidation < 0 ? {} : {
      validation: Uint32Array.from({ length: kept.length - firstValidation }, (_, i) => firstValidation + i),
    },
  });
}

/** Notes on conversions for the user. */
function conversionNotes(
  { files, resized, traits }: FileCounts,
  total: number,
  { fit, height, width, channels, background }: Framing,
): string[] {
  const size = `${height}x${width}`;
  const shape = width === height ? "square" : "part of that shape";
  const fitted = {
    crop: `cropped to the centre ${shape} and resized to ${size}`,
    pad: `resized to fit into ${size}, with a border of ${colourText(background)}`,
    squash: `stretched to ${size}`,
  }[fit];
  const words: Readonly<Record<ImageTrait, string>> = {
    grey: "grey (read as colour)",
    palette: "with a palette",
    "16 bits": "of 16 bits per colour (read as 8)",
    CMYK: "in CMYK (read as RGB)",
    transparent: `with transparency (put on ${colourText(background)})`,
    turned: "turned as their EXIF data says",
  };
  const { grey = 0, ...others } = Object.fromEntries(traits);
  const colours: readonly [number, string] = channels === 1
    ? [files - grey, "in colour (read as grey)"]
    : [grey, words.grey];
  const converted = [
    ...colours[0] > 0 ? [colours.join(" ")] : [],
    ...Object.entries(others).map(([trait, count]) => `${count} ${words[trait as ImageTrait]}`),
  ];
  return [
    ...resized > 0 ? [`images of other sizes are ${fitted}: ${resized} of ${total}`] : [],
    ...converted.length > 0 ? [`converted images: ${converted.join(", ")}`] : [],
  ];
}

function colourText(colour: Colour): string {
  if (colour.every((value) => value === 255)) return "white";
  return `#${colour.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
