/**
 * Framing: how an image of any size becomes one of a data set's size. Each pixel of the result is the mean of the source area that it
 * covers; nearest-neighbour sampling would drop most of a photograph and leave jagged edges.
 *
 * @module
 */

import type { RgbaImage } from "./decode.ts";
import type { Dimensions } from "./dimensions.ts";

/** Ways to fit an image of another shape: its centre, all of it with a border, or all of it stretched. */
export const FITS: readonly Fit[] = ["crop", "pad", "squash"];

/** Name of a way to fit an image. */
export type Fit = "crop" | "pad" | "squash";

/** A colour: red, green and blue, 0 to 255. */
export type Colour = readonly [number, number, number];

/** Size and colours of a data set's images. */
export interface Framing extends Dimensions {
  /** How images of another shape are fitted. */
  readonly fit: Fit;
  /** Colours of a pixel: 3 for red, green and blue, 1 for grey (ITU-R BT.601 luma). */
  readonly channels: 1 | 3;
  /** Colour under transparent pixels, and of the border of `pad`. */
  readonly background: Colour;
}

/** White, the usual background. */
export const WHITE: Colour = [255, 255, 255];

/** Framing to the centre, transparency becoming white. */
export function cropped({ width, height }: Dimensions, channels: 1 | 3 = 3): Framing {
  return { width, height, fit: "crop", channels, background: WHITE };
}

/** Weights of red, green and blue in grey, ITU-R BT.601. */
const LUMA: Colour = [0.299, 0.587, 0.114];

/** A rectangle in whole pixels. */
interface Rectangle extends Dimensions {
  readonly left: number;
  readonly top: number;
}

/** A source row or column that overlaps a pixel of the result. */
interface Overlap {
  /** Index of the row or column. */
  readonly at: number;
  /** Part of it inside the pixel, above 0 to 1. */
  readonly weight: number;
}

/**
 * Fits an image into a frame.
 *
 * @param image the source
 * @param to result, shape `[height, width, channels]`
 */
export function frameImage(image: RgbaImage, framing: Framing, to: Uint8Array): void {
  const { background } = framing;
  const { source, target } = rectangles(image, framing);
  if (target.width < framing.width || target.height < framing.height) {
    for (let pixel = 0; pixel < framing.width * framing.height; pixel++) {
      writePixel(to, pixel, framing.channels, background);
    }
  }
  const area = source.width * source.height / (target.width * target.height);
  const columnOverlaps = overlapsOf(source.width, target.width);
  const colour: [number, number, number] = [0, 0, 0];
  for (const [y, rows] of overlapsOf(source.height, target.height).entries()) {
    for (const [x, columns] of columnOverlaps.entries()) {
      meanColour(image, source, rows, columns, background, area, colour);
      writePixel(to, (target.top + y) * framing.width + target.left + x, framing.channels, colour);
    }
  }
}

/** Part of the source that is shown, and where. */
function rectangles(
  image: Dimensions,
  { width, height, fit }: Framing,
): { readonly source: Rectangle; readonly target: Rectangle } {
  const whole = ({ width, height }: Dimensions): Rectangle => ({ left: 0, top: 0, width, height });
  const [across, down] = [image.width / width, image.height / height];
  switch (fit) {
    case "crop": // whole source pixels: the largest centre square for a square result
      return {
        source: centred(image, Math.min(across, down) * width, Math.min(across, down) * height),
        target: whole({ width, height }),
      };
    case "pad": {
      const scale = Math.max(across, down);
      return {
        source: whole(image),
        target: centred({ width, height }, image.width / scale, image.height / scale),
      };
    }
    case "squash":
      return { source: whole(image), target: whole({ width, height }) };
  }
}

/** A rectangle of whole pixels, at least one, in the middle of another. */
function centred(of: Dimensions, width: number, height: number): Rectangle {
  const size = { width: Math.max(1, Math.round(width)), height: Math.max(1, Math.round(height)) };
  return {
    ...size,
    left: Math.floor((of.width - size.width) / 2),
    top: Math.floor((of.height - size.height) / 2),
  };
}

/** Mean colour of the overlaps over the background, weighted by alpha. */
function meanColour(
  { width, rgba }: RgbaImage,
  { left, top }: Rectangle,
  rows: readonly Overlap[],
  columns: readonly Overlap[],
  [backRed, backGreen, backBlue]: Colour,
  area: number,
  colour: [number, number, number],
): void {
  let [red, green, blue] = [0, 0, 0];
  for (const row of rows) {
    for (const column of columns) {
      const at = ((top + row.at) * width + left + column.at) * 4; // inside the source
      const weight = row.weight * column.weight;
      const alpha = rgba[at + 3]! / 255;
      red += weight * (rgba[at]! * alpha + backRed * (1 - alpha));
      green += weight * (rgba[at + 1]! * alpha + backGreen * (1 - alpha));
      blue += weight * (rgba[at + 2]! * alpha + backBlue * (1 - alpha));
    }
  }
  colour[0] = red / area;
  colour[1] = green / area;
  colour[2] = blue / area;
}

function writePixel(to: Uint8Array, pixel: number, channels: 1 | 3, [red, green, blue]: Colour): void {
  if (channels === 1) {
    to[pixel] = Math.round(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue);
    return;
  }
  to[3 * pixel] = Math.round(red);
  to[3 * pixel + 1] = Math.round(green);
  to[3 * pixel + 2] = Math.round(blue);
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
