/**
 * Look of a picture with the mask painted on it.
 *
 * @module
 */
/** @import { Mask } from "./mask.js" */

/**
 * A picture with a chequered pattern over what is drawn anew, and the brush.
 *
 * @param {ImageData} picture
 * @param {Mask} mask of its size
 * @param {{ under: readonly number[], erases: boolean }} brush pixels under it
 */
export function painted({ data, width, height }, mask, { under, erases }) {
  const pixels = new ImageData(new Uint8ClampedArray(data), width, height);
  for (const [i, anew] of mask.painted.entries()) {
    const odd = (i + Math.floor(i / width)) % 2;
    if (anew) mix(pixels.data, i, odd ? 255 : 165, 0.85);
  }
  for (const i of under) mix(pixels.data, i, erases ? 0 : 255, 0.4);
  return pixels;
}

/**
 * @param {Uint8ClampedArray} data
 * @param {number} pixel
 * @param {number} grey
 * @param {number} share of the grey
 */
function mix(data, pixel, grey, share) {
  for (let c = 4 * pixel; c < 4 * pixel + 3; c++) data[c] += share * (grey - data[c]);
}
