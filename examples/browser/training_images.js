/**
 * Pictures to learn from: packed ones beside the page, or a folder of one's own.
 *
 * @module
 */
// @ts-types="../../web.ts"
import { memoryDataset } from "./denoise.js";

/** Height and width of the pictures of a folder, as the network sees them. */
const SIDE = 32;
/** Pictures of a folder that are used at most. */
const MOST = 2000;

/**
 * What is packed beside the page.
 * @typedef {{ name: string, count: number, height: number, width: number, classes: string[], labels: number[] }} Packed
 */

/** @returns {Promise<Packed | undefined>} undefined if nothing is */
export async function listPacked() {
  const response = await fetch("images/list.json");
  return response.ok ? await response.json() : undefined;
}

/** @param {Packed} packed */
export async function packedImages({ name, height, width, classes, labels }) {
  const response = await fetch("images/pixels.bin");
  if (!response.ok) throw new Error(`images/pixels.bin is missing beside the page (${response.status})`);
  const images = new Uint8Array(await response.arrayBuffer());
  return await memoryDataset({ name, images, labels: Uint8Array.from(labels), classes, height, width });
}

/**
 * Reads a folder: its pictures, or those of the folders in it, which are classes then.
 *
 * @param {readonly File[]} files
 * @param {(done: number, total: number) => void} onProgress
 * @param {AbortSignal} signal
 */
export async function ownImages(files, onProgress, signal) {
  const pictures = files.filter(({ type }) => type.startsWith("image/"))
    .sort((a, b) => a.webkitRelativePath < b.webkitRelativePath ? -1 : 1)
    .filter((_, i, all) => i % Math.ceil(all.length / MOST) === 0);
  const folders = pictures.map(({ webkitRelativePath }) =>
    webkitRelativePath.split("/").slice(1, -1).join("/")
  );
  const classes = folders.includes("") ? [] : [...new Set(folders)].sort();
  const images = new Uint8Array(pictures.length * SIDE * SIDE * 3);
  const labels = [];
  let read = 0;
  for (const [i, file] of pictures.entries()) {
    signal.throwIfAborted();
    onProgress(i, pictures.length);
    const rgb = await decode(file).catch(() => undefined); // a broken one is left out
    if (!rgb) continue;
    images.set(rgb, read * rgb.length);
    labels.push(Math.max(0, classes.indexOf(folders[i] ?? "")));
    read++;
  }
  if (read === 0) throw new Error("the folder has no pictures that this browser can read");
  return await memoryDataset({
    name: "own",
    images: images.slice(0, read * SIDE * SIDE * 3),
    labels: Uint8Array.from(labels),
    classes,
    height: SIDE,
    width: SIDE,
  });
}

/**
 * The middle square of a picture, at the network's size, on white.
 * @param {File} file
 */
async function decode(file) {
  const picture = await createImageBitmap(file);
  const side = Math.min(picture.width, picture.height);
  const context = new OffscreenCanvas(SIDE, SIDE).getContext("2d", { alpha: false });
  if (!context) throw new Error("there is no canvas");
  Object.assign(context, { fillStyle: "white", imageSmoothingQuality: "high" });
  context.fillRect(0, 0, SIDE, SIDE);
  context.drawImage(
    ...[picture, (picture.width - side) / 2, (picture.height - side) / 2, side, side],
    ...[0, 0, SIDE, SIDE],
  );
  picture.close();
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  return data.filter((_, i) => i % 4 !== 3);
}
