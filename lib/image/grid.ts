/**
 * Layout of image grids. It needs only the images' size, so that a picture that would be too large is rejected before any
 * image is drawn.
 *
 * @module
 */

import { checkWhole } from "../checks.ts";
import { ConfigError } from "../errors.ts";
import { CAPITAL_HEIGHT, LINE_HEIGHT, textWidth, writable } from "./font.ts";
import { checkSize } from "./png.ts";

/** Options of a grid of images. */
export interface GridOptions {
  /** Images per row, 1 or more; default: the square root of the number of images, rounded up. */
  columns?: number;
  /** White pixels between images and around them, 0 to 256, not scaled; default 2. */
  gap?: number;
  /** Enlargement of the images (nearest neighbour), 1 to 16; default 1. */
  scale?: number;
  /** Labels left of the rows, such as classes; one per row. In place of letters that are not Latin stands the row, from 1. */
  rowLabels?: readonly string[];
  /** Labels above the columns, such as timesteps; one per column. */
  columnLabels?: readonly string[];
}

/** Largest enlargement. */
export const MAX_SCALE = 16;
const MAX_GAP = 256;
/** Height of the enlarged images, in pixels, per unit of text scale. */
const ROW_HEIGHT_PER_TEXT_SIZE = 40;
const MAX_TEXT_SCALE = 4;

/** A position in the picture, in pixels from the left and the top. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/** Layout of an image grid. */
export interface GridLayout {
  /** Width of the whole picture in pixels. */
  readonly width: number;
  /** Height of the whole picture in pixels. */
  readonly height: number;
  /** Scale of the labels' font, 1 to 4. */
  readonly textScale: number;
  /** Upper left corner of image `i`. */
  placeOf(i: number): Place;
  /** Upper left corner of a row's label. */
  labelOfRow(row: number, label: string): Place;
  /** Upper left corner of a column's label. */
  labelOfColumn(column: number, label: string): Place;
}

/**
 * Lays out images in a grid, row by row. Labels are not enlarged with the images; a row or column whose label is larger
 * than its images grows.
 *
 * @param images number of images, and the size of each in pixels
 * @throws {ConfigError} naming the option that is out of range, or the side of the picture that is too long
 */
export function layOutGrid(
  images: { readonly count: number; readonly height: number; readonly width: number },
  options: GridOptions = {},
): GridLayout {
  const { gap = 2, scale = 1 } = options;
  const { rowLabels, columnLabels } = writableLabels(options);
  const wanted = options.columns ?? Math.ceil(Math.sqrt(images.count));
  checkWhole("columns", wanted, 1, Number.MAX_SAFE_INTEGER);
  const columns = Math.min(wanted, images.count);
  checkWhole("gap", gap, 0, MAX_GAP);
  checkWhole("scale", scale, 1, MAX_SCALE);
  const rows = Math.ceil(images.count / columns);
  checkLabels("rowLabels", rowLabels, rows);
  checkLabels("columnLabels", columnLabels, columns);

  const imageWidth = images.width * scale;
  const imageHeight = images.height * scale;
  const textScale = Math.min(MAX_TEXT_SCALE, Math.max(1, Math.round(imageHeight / ROW_HEIGHT_PER_TEXT_SIZE)));
  const columnWidth = Math.max(imageWidth, widest(columnLabels) * textScale);
  const rowHeight = Math.max(imageHeight, rowLabels ? LINE_HEIGHT * textScale : 0);
  const margin = 3 * textScale;
  const left = gap + (rowLabels ? widest(rowLabels) * textScale + 2 * margin : 0);
  const top = gap + (columnLabels ? LINE_HEIGHT * textScale + margin : 0);
  const width = left + columns * (columnWidth + gap);
  const height = top + rows * (rowHeight + gap);
  checkSize(width, height);

  return {
    width,
    height,
    textScale,
    placeOf: (i) => ({
      x: left + (i % columns) * (columnWidth + gap) + half(columnWidth - imageWidth),
      y: top + Math.floor(i / columns) * (rowHeight + gap) + half(rowHeight - imageHeight),
    }),
    labelOfRow: (row, label) => ({
      x: left - margin - textWidth(label) * textScale,
      y: top + row * (rowHeight + gap) + half(rowHeight - CAPITAL_HEIGHT * textScale),
    }),
    labelOfColumn: (column, label) => ({
      x: left + column * (columnWidth + gap) + half(columnWidth - textWidth(label) * textScale),
      y: gap + margin,
    }),
  };
}

/** Labels as they are drawn: names that the font cannot write are called by their row or column, from 1. */
export function writableLabels(
  { rowLabels, columnLabels }: GridOptions,
): Pick<GridOptions, "rowLabels" | "columnLabels"> {
  return {
    rowLabels: rowLabels?.map((label, i) => writable(label, `row ${i + 1}`)),
    columnLabels: columnLabels?.map((label, i) => writable(label, `column ${i + 1}`)),
  };
}

function checkLabels(field: string, labels: readonly string[] | undefined, expected: number): void {
  if (labels && labels.length !== expected) {
    throw new ConfigError(`${field}.length`, labels.length, `${expected}, one label for each`);
  }
}

function widest(labels: readonly string[] = []): number {
  return Math.max(0, ...labels.map(textWidth));
}

function half(space: number): number {
  return Math.floor(space / 2);
}
