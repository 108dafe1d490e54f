/**
 * A folder of PNGs as a data set: one subfolder a class.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { type DataProgressListener, type ImageDataset, imageDataset } from "./dataset.ts";
import { listFolder, readBytes } from "./files.ts";
import { type Cifar10Split, IMAGE_BYTES, IMAGE_SIDE } from "./official.ts";
import { decodePng } from "./png.ts";
import { scaleToSquare } from "./resize.ts";

/** Labels are bytes. */
const MAX_CLASSES = 256;
/** Images between two progress events. */
const PROGRESS_EVERY = 1000;

/** One class: its folder and the names of the images in it. */
interface ClassFolder {
  readonly path: string;
  readonly files: readonly string[];
}

/**
 * Reads `PATH/CLASS/*.png`, or `PATH/train/CLASS/*.png` and `PATH/test/CLASS/*.png` where those two are all that PATH
 * has. Classes are the folder names in code unit order. Every image is scaled to 32 x 32 by area, whatever its aspect
 * ratio, transparent parts white. Images are decoded one at a time, so memory stays near the size of the result.
 *
 * Names that start with a dot are skipped, and so are files beside the class folders, except PNGs, which would be lost.
 *
 * @param path the folder
 * @param split `test` needs the second layout; the first is all training images
 * @param onProgress told every 1,000 images
 * @throws {DataError} naming folder or file, for a missing, empty or nested class folder, a file that is no PNG, a
 * damaged PNG, more than 256 classes, or training and test folders whose classes differ
 */
export async function imageFolder(
  path: string,
  split: Cifar10Split,
  onProgress: DataProgressListener,
): Promise<ImageDataset> {
  const root = await splitRoot(path, split);
  const classes = await classNames(root);
  const folders: ClassFolder[] = [];
  for (const name of classes) folders.push(await classFolder(`${root}/${name}`));

  const count = folders.reduce((sum, { files }) => sum + files.length, 0);
  const images = new Uint8Array(count * IMAGE_BYTES);
  const labels = new Uint8Array(count);
  let done = 0;
  for (const [label, folder] of folders.entries()) {
    for (const name of folder.files) {
      const file = `${folder.path}/${name}`;
      const image = decodePng(await readBytes(file), file);
      scaleToSquare(image, IMAGE_SIDE, images.subarray(done * IMAGE_BYTES, (done + 1) * IMAGE_BYTES));
      labels[done++] = label;
      if (done % PROGRESS_EVERY === 0) {
        onProgress({ message: `reading images of ${root}`, done, total: count });
      }
    }
  }
  const name = path.split(/[/\\]/).filter((part) => part !== "" && part !== ".").pop() ?? path;
  return imageDataset({ name, images, labels, classes, height: IMAGE_SIDE, width: IMAGE_SIDE });
}

/** The folder that has the split's class folders. */
async function splitRoot(path: string, split: Cifar10Split): Promise<string> {
  const { folders } = await listFolder(path);
  if (folders.join() === "test,train") {
    const train = await classNames(`${path}/train`);
    const test = await classNames(`${path}/test`);
    if (train.join("\n") !== test.join("\n")) {
      throw new DataError(
        `${path}: train and test must have the same classes, found [${train}] and [${test}]`,
      );
    }
    return `${path}/${split}`;
  }
  if (split === "test") {
    throw new DataError(
      `${path}: no test images: expected the folders ${path}/train and ${path}/test, each with one \
subfolder of PNGs per class`,
    );
  }
  return path;
}

async function classNames(root: string): Promise<string[]> {
  const { folders, files } = await listFolder(root);
  if (folders.length === 0) {
    throw new DataError(
      `${root}: expected one subfolder of PNGs per class, or CIFAR-10's batch files; found neither`,
    );
  }
  if (folders.length > MAX_CLASSES) {
    throw new DataError(`${root}: expected at most ${MAX_CLASSES} class folders, found ${folders.length}`);
  }
  const stray = files.find((name) => /\.png$/i.test(name));
  if (stray !== undefined) throw new DataError(`${root}/${stray}: an image outside the class folders`);
  return folders;
}

async function classFolder(path: string): Promise<ClassFolder> {
  const { folders, files } = await listFolder(path);
  if (folders.length > 0) throw new DataError(`${path}/${folders[0]}: a folder inside a class folder`);
  if (files.length === 0) {
    throw new DataError(`${path}: a class folder without images: expected PNG files in it`);
  }
  return { path, files };
}
