/**
 * Crops images to their centre square and scales that by area: each pixel of the result is the mean of the part of the
 * source that it covers. Taking the nearest pixel instead drops most of a photograph and leaves jagged edges.
 *
 * @module
 */

import type { RgbaImage } from "./decode.ts";

/** One source row or column under a result pixel, and how much of it lies there, 0 to 1. */
interface Cover {
  readonly at: number;
  readonly weight: number;
}

/**
 * Scales an image's centre square, whose side is the shorter of the image's; what is transparent becomes white.
 *
 * @param image the source
 * @param side rows and columns of the result
 * @param to `side * side * 3` bytes to fill, shape `[side, side, 3]`
 */
export function cropToSquare(image: RgbaImage, side: number, to: Uint8Array): void {
  const { width, height, rgba } = image;
  const square = Math.min(width, height);
  const left = Math.floor((width - square) / 2);
  const top = Math.floor((height - square) / 2);
  const parts = covers(square, side);
  const area = (square / side) ** 2;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      let red = 0, green = 0, blue = 0;
      for (const row of parts[y]) {
        for (const column of parts[x]) {
          const at = ((top + row.at) * width + left + column.at) * 4;
          const weight = row.weight * column.weight;
          const alpha = rgba[at + 3] / 255;
          const white = 255 * (1 - alpha);
          red += weight * (rgba[at] * alpha + white);
          green += weight * (rgba[at + 1] * alpha + white);
          blue += weight * (rgba[at + 2] * alpha + white);
        }
      }
      const out = (y * side + x) * 3;
      to[out] = Math.round(red / area);
      to[out + 1] = Math.round(green / area);
      to[out + 2] = Math.round(blue / area);
    }
  }
}

/** For each of `side` equal parts of a line of `length` pixels: which pixels it covers. */
function covers(length: number, side: number): Cover[][] {
  return Array.from({ length: side }, (_, part) => {
    // Numerators over `side`, so that whole ratios come out exact.
    const from = part * length;
    const until = from + length;
    const first = Math.floor(from / side);
    const last = Math.ceil(until / side);
    return Array.from({ length: last - first }, (_, i) => {
      const at = first + i;
      return { at, weight: (Math.min(until, (at + 1) * side) - Math.max(from, at * side)) / side };
    });
  });
}
