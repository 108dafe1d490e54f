/**
 * Image folders as data sets: one subfolder per class.
 *
 * @module
 */

import { type DataProgressListener, type ImageDataset, imageDataset } from "./dataset.ts";
import { DecoderPool } from "./decode/pool.ts";
import { readBytes } from "./files.ts";
import { readLayout } from "./layout.ts";
import { type Cifar10Split, IMAGE_BYTES, IMAGE_SIDE } from "./official.ts";

/** Images between two progress events. */
const PROGRESS_EVERY = 100;

/**
 * Reads `PATH/CLASS/IMAGE`, or `PATH/train/CLASS/IMAGE`, `PATH/val/CLASS/IMAGE` and `PATH/test/CLASS/IMAGE`; the images of
 * `val` come last in the data set and are its validation images. Classes are the folder names in NFC, in code unit order.
 * PNG, JPEG and WebP are recognised by content. Each image is cropped to its centre square and resized to 32 x 32 by area
 * averaging, transparency becomes white. Decoding runs in workers, so the caller's thread stays responsive.
 *
 * Hidden files, metadata folders of archivers and files that are not images are skipped, and reported once.
 *
 * @param path the folder
 * @param split `test` needs a `test` folder beside `train`
 * @param onProgress called every 100 images, and with notes on skipped entries, splits and resized images
 * @throws {DataError} naming folder or file, for a missing, empty or nested class folder, an image that cannot be
 * decoded, more than 256 classes, or splits whose classes do not fit together
 */
export async function imageFolder(
  path: string,
  split: Cifar10Split,
  onProgress: DataProgressListener,
): Promise<ImageDataset> {
  const { classes, images: training, validation, notes } = await readLayout(path, split);
  for (const message of notes) onProgress({ message });
  const files = [...training, ...validation ?? []];
  const images = new Uint8Array(files.length * IMAGE_BYTES);
  const message = `reading images of ${path}`;
  let done = 0;
  let resized = 0;
  using pool = new DecoderPool(files.length);
  onProgress({ message, done, total: files.length });
  await pool.forEach(files.length, async (i) => {
    const { path } = files[i]!; // i < files.length
    const { width, height, rgb } = await pool.decode(await readBytes(path), path, IMAGE_SIDE);
    images.set(rgb, i * IMAGE_BYTES);
    if (width !== IMAGE_SIDE || height !== IMAGE_SIDE) resized++;
    if (++done % PROGRESS_EVERY === 0) onProgress({ message, done, total: files.length });
  });
  if (resized > 0) {
    const size = `${IMAGE_SIDE}x${IMAGE_SIDE}`;
    onProgress({
      message:
        `images of other sizes are cropped to the centre square and resized to ${size}: ${resized} of ${files.length}`,
    });
  }
  const name = path.split(/[/\\]/).filter((part) => part !== "" && part !== ".").pop() ?? path;
  return imageDataset({
    name,
    images,
    labels: Uint8Array.from(files, ({ label }) => label),
    classes,
    height: IMAGE_SIDE,
    width: IMAGE_SIDE,
    ...validation && {
      validation: Uint32Array.from(validation, (_, i) => training.length + i),
    },
  });
}
