/**
 * A picture of the user, cropped and resized as the server would, so that the page shows what the model sees.
 *
 * @module
 */
import { element } from "./dom.js";

/**
 * Longest side of a crop in pixels before its pixels are read; 64 MB of them.
 */
const LARGEST = 4096;

/**
 * Reads a file of any format that the browser knows.
 *
 * @param {Blob} file
 * @param {{ width: number, height: number }} size of the model's pictures
 * @returns {Promise<ImageData>}
 * @throws where it is no picture
 */
export async function readOriginal(file, size) {
  const bitmap = await createImageBitmap(file);
  const { left, top, across, down } = centre(bitmap, size);
  const shrink = Math.min(1, LARGEST / Math.max(across, down));
  const canvas = element("canvas", {
    width: Math.max(1, Math.round(across * shrink)),
    height: Math.max(1, Math.round(down * shrink)),
  });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = "white"; // transparency becomes white, as on the server
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, left, top, across, down, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return new ImageData(average(data, canvas, size), size.width, size.height);
}

/**
 * The largest part of a picture around its centre that has the shape of another.
 *
 * @param {{ width: number, height: number }} picture
 * @param {{ width: number, height: number }} shape
 */
export function centre({ width, height }, shape) {
  const scale = Math.min(width / shape.width, height / shape.height);
  const across = Math.max(1, Math.round(scale * shape.width));
  const down = Math.max(1, Math.round(scale * shape.height));
  return { left: Math.floor((width - across) / 2), top: Math.floor((height - down) / 2), across, down };
}

/**
 * Resizes a picture: each pixel is the mean of what it covers.
 *
 * @param {Uint8ClampedArray} rgba
 * @param {{ width: number, height: number }} from size of it
 * @param {{ width: number, height: number }} to size of the result
 */
export function average(rgba, from, to) {
  const result = new Uint8ClampedArray(4 * to.width * to.height);
  const columns = covered(from.width, to.width);
  for (const [y, rows] of covered(from.height, to.height).entries()) {
    for (const [x, across] of columns.entries()) {
      const sums = [0, 0, 0, 0];
      let area = 0;
      for (const [row, high] of rows) {
        for (const [column, wide] of across) {
          const at = 4 * (row * from.width + column);
          for (let c = 0; c < 4; c++) sums[c] += high * wide * rgba[at + c];
          area += high * wide;
        }
      }
      result.set(sums.map((sum) => sum / area), 4 * (y * to.width + x)); // a clamped array rounds
    }
  }
  return result;
}

/**
 * @param {number} length of a line
 * @param {number} parts equal parts of it
 * @returns {[number, number][][]} the pixels that each part covers, and how much of each
 */
function covered(length, parts) {
  return Array.from({ length: parts }, (_, part) => {
    const [from, until] = [part * length / parts, (part + 1) * length / parts];
    const pixels = [];
    for (let at = Math.floor(from); at < until - 1e-9; at++) {
      pixels.push(/** @type {[number, number]} */ ([at, Math.min(until, at + 1) - Math.max(from, at)]));
    }
    return pixels;
  });
}

/**
 * A picture as the data URL of a PNG.
 * @param {ImageData} pixels
 */
export function pngOf(pixels) {
  const canvas = element("canvas", { width: pixels.width, height: pixels.height });
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
  return canvas.toDataURL("image/png");
}
