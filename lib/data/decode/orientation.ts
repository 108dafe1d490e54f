/**
 * Orientation of pictures by their EXIF data (Exif 2.32, tag 0x0112): cameras store pixels as their sensor lies.
 *
 * @module
 */

/** 1 for upright, 2 to 8 for mirrored and turned; rows and columns change places from 5 on. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** Tag of the orientation, and its type: one unsigned short. */
const ORIENTATION_TAG = 0x0112;
const SHORT = 3;

/** Header of EXIF data in a JPEG, which some WebP files have, too. */
const EXIF_HEADER = "Exif\0\0";

/**
 * Orientation in EXIF data; 1 where it is missing or damaged.
 *
 * @param exif content of a JPEG's APP1 segment, a PNG's eXIf chunk or a WebP's EXIF chunk
 */
export function exifOrientation(exif: Uint8Array): Orientation {
  const hasHeader = EXIF_HEADER.split("").every((letter, i) => exif[i] === letter.charCodeAt(0));
  const tiff = hasHeader ? exif.subarray(EXIF_HEADER.length) : exif;
  if (tiff.length < 8) return 1;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const little = view.getUint16(0) === 0x4949; // "II"
  if ((!little && view.getUint16(0) !== 0x4d4d) || view.getUint16(2, little) !== 42) return 1;
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) return 1;
  const entries = view.getUint16(directory, little);
  for (let entry = directory + 2, i = 0; i < entries && entry + 12 <= tiff.length; entry += 12, i++) {
    if (view.getUint16(entry, little) !== ORIENTATION_TAG) continue;
    const value = view.getUint16(entry + 8, little);
    const isValid = view.getUint16(entry + 2, little) === SHORT && value >= 1 && value <= 8;
    return isValid ? value as Orientation : 1;
  }
  return 1;
}

/** An image in RGBA. */
interface Rgba {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** Turns an image upright. */
export function turnUpright(image: Rgba, orientation: Orientation): Rgba {
  if (orientation === 1) return image;
  const { width, height, data } = image;
  const swapped = orientation >= 5;
  const [across, down] = swapped ? [height, width] : [width, height];
  const from = new Uint32Array(data.slice().buffer); // a copy, so that it is aligned
  const to = new Uint32Array(across * down);
  const [mirrored, flipped] = SOURCE_MIRRORED[orientation];
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) {
      const [column, row] = swapped ? [y, x] : [x, y];
      const sourceColumn = mirrored ? width - 1 - column : column;
      const sourceRow = flipped ? height - 1 - row : row;
      to[y * across + x] = from[sourceRow * width + sourceColumn]!; // inside the image
    }
  }
  return { width: across, height: down, data: new Uint8Array(to.buffer) };
}

/** True if the source's columns, or its rows, run the other way, after rows and columns have changed places from 5 on. */
const SOURCE_MIRRORED: Readonly<Record<Orientation, readonly [columns: boolean, rows: boolean]>> = {
  1: [false, false],
  2: [true, false],
  3: [true, true],
  4: [false, true],
  5: [false, false],
  6: [false, true],
  7: [true, true],
  8: [true, false],
};
