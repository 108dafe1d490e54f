/**
 * The first images of a data set as PNG files, for small bundles.
 *
 * @module
 */

import type { ImageDataset } from "../lib/data/dataset.ts";
import { inRgb } from "../lib/data/rgb_images.ts";
import { encodePng } from "../lib/image/png.ts";
import type { Entry } from "./archive.ts";

/**
 * The first images of a data set as `FOLDER/CLASS/NUMBER.png`, without classes as `FOLDER/NUMBER.png`.
 *
 * @param count number of images; all if there are fewer
 */
export async function imageEntries(data: ImageDataset, count: number, folder: string): Promise<Entry[]> {
  const { labels, classes, width, height } = data;
  const entries: Entry[] = [];
  for (const [i, label] of labels.subarray(0, count).entries()) {
    const own = classes.length === 0 ? "" : `${classes[label]}/`;
    const path = `${folder}/${own}${String(i).padStart(5, "0")}.png`;
    const source = await encodePng(inRgb(data).images.read([i]), width, height);
    entries.push({ path, source });
  }
  return entries;
}
