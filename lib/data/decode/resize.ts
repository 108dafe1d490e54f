/**
 * Centre crop and resizing by area averaging: each pixel of the result is the mean of the source area that it covers.
 * Nearest-neighbour sampling would drop most of a photograph and leave jagged edges.
 *
 * @module
 */

import type { RgbaImage } from "./decode.ts";
import type { Dimensions } from "./dimensions.ts";

/** A source row or column that overlaps a pixel of the result. */
interface Overlap {
  /** Index of the row or column. */
  readonly at: number;
  /** Part of it inside the pixel, above 0 to 1. */
  readonly weight: number;
}

/**
 * Crops an image to its centre, as much of it as has the shape of the result, and resizes that; transparency becomes white.
 *
 * @param image the source
 * @param size height and width of the result in pixels
 * @param to result, shape `[height, width, 3]`
 */
export function cropToSize(image: RgbaImage, size: Dimensions, to: Uint8Array): void {
  const { width, rgba } = image;
  // Whole source pixels: the largest centre square for a square result
  const scale = Math.min(image.width / size.width, image.height / size.height);
  const across = Math.max(1, Math.round(scale * size.width));
  const down = Math.max(1, Math.round(scale * size.height));
  const left = Math.floor((width - across) / 2);
  const top = Math.floor((image.height - down) / 2);
  const area = across * down / (size.width * size.height);
  const columnOverlaps = overlapsOf(across, size.width);
  for (const [y, rows] of overlapsOf(down, size.height).entries()) {
    for (const [x, columns] of columnOverlaps.entries()) {
      let red = 0, green = 0, blue = 0;
      for (const row of rows) {
        for (const column of columns) {
          const at = ((top + row.at) * width + left + column.at) * 4; // inside the source
          const weight = row.weight * column.weight;
          const alpha = rgba[at + 3]! / 255;
          const white = 255 * (1 - alpha);
          red += weight * (rgba[at]! * alpha + white);
          green += weight * (rgba[at + 1]! * alpha + white);
          blue += weight * (rgba[at + 2]! * alpha + white);
        }
      }
      const out = (y * size.width + x) * 3;
      to[out] = Math.round(red / area);
      to[out + 1] = Math.round(green / area);
      to[out + 2] = Math.round(blue / area);
    }
  }
}

/** Source pixels that overlap each of `side` equal parts of a line of `length` pixels. */
function overlapsOf(length: number, side: number): Overlap[][] {
  return Array.from({ length: side }, (_, part) => {
    // Numerators over `side`, so that integer ratios are exact.
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
