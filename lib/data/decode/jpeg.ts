/**
 * JPEG validation (ITU-T T.81, Annex B) marker by marker before decoding: libjpeg fills the missing part of a truncated
 * file with grey, trusts the dimensions in the header, and decodes any number of scans.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { checkDimensions, type Dimensions } from "./dimensions.ts";
import { exifOrientation, type Orientation } from "./orientation.ts";

/** Limit on scans, each of which is a pass over all pixels; progressive JPEGs have about ten. */
const MAX_SCANS = 100;

/** Fields of a JPEG's frame header. */
export interface JpegHeader extends Dimensions {
  /** Colour components: 1 grey, 3 colour, 4 CMYK. */
  readonly components: number;
}

/** A JPEG's frame header, and its orientation by its EXIF data. */
export interface CheckedJpeg extends JpegHeader {
  /** Orientation of the stored pixels. */
  readonly orientation: Orientation;
}

/**
 * Parses the markers of a JPEG up to its end.
 *
 * @param bytes the whole file; begins with the JPEG signature
 * @param file file name for errors
 * @param maxPixels limit on the pixels, checked in the header
 * @throws {DataError} if it is cut short or damaged, has no pixels or too many, or more than 100 scans
 */
export function readJpegHeader(bytes: Uint8Array, file: string, maxPixels?: number): CheckedJpeg {
  const damaged = (why: string): never => {
    throw new DataError(`${file}: a damaged JPEG: ${why}`);
  };
  let header: JpegHeader | undefined;
  let scans = 0;
  let orientation: Orientation = 1;
  for (const { marker, frame, content } of segments(bytes, file)) {
    if (marker === APP1 && orientation === 1) orientation = exifOrientation(content);
    if (frame) {
      if (header) damaged("it has two frame headers");
      header = frame;
      checkDimensions(header, file, maxPixels);
    }
    if (marker !== SCAN) continue;
    if (!header) damaged("a scan before the frame header");
    if (++scans > MAX_SCANS) damaged(`more than ${MAX_SCANS} scans`);
  }
  return { ...header ?? damaged("it has no frame header"), orientation };
}

/**
 * Dimensions in the frame header of a JPEG; nothing after it is read or checked.
 *
 * @throws {DataError} if it is cut short or damaged before its frame header, or has none
 */
export function jpegDimensions(bytes: Uint8Array, file: string): Dimensions {
  for (const { frame } of segments(bytes, file)) if (frame) return frame;
  throw new DataError(`${file}: a damaged JPEG: it has no frame header`);
}

/** A marker segment. */
interface Segment {
  readonly marker: number;
  readonly content: Uint8Array;
  /** Content of a frame header. */
  readonly frame?: JpegHeader;
}

/** Marker segments in order, up to the end marker, which is not among them. */
function* segments(bytes: Uint8Array, file: string): Generator<Segment> {
  const cutShort = (): never => {
    throw new DataError(`${file}: a JPEG cut short after ${bytes.length} bytes`);
  };
  const damaged = (why: string): never => {
    throw new DataError(`${file}: a damaged JPEG: ${why}`);
  };
  const byte = (at: number) => bytes[at] ?? cutShort();
  const word = (at: number) => byte(at) << 8 | byte(at + 1);
  for (let at = 2;;) {
    if (at >= bytes.length) cutShort();
    if (bytes[at] !== 0xff) { // some cameras and editors write stray bytes between segments, which libjpeg skips
      at = bytes.indexOf(0xff, at);
      if (at < 0) cutShort();
    }
    while (bytes[at] === 0xff) at++; // a marker may have any number of fill bytes before it
    const marker = byte(at++);
    if (marker === END) return;
    if (isAlone(marker)) continue;
    const length = word(at);
    if (length < 2) damaged(`a segment of ${length} bytes at byte ${at}`);
    const frame = isFrame(marker)
      ? { height: word(at + 3), width: word(at + 5), components: byte(at + 7) }
      : undefined;
    yield { marker, content: bytes.subarray(at + 2, at + length), frame };
    at += length;
    if (marker === SCAN) at = endOfScan(bytes, at);
  }
}

const END = 0xd9;
const SCAN = 0xda;
/** Segment of EXIF data, among others. */
const APP1 = 0xe1;

/** True for restart markers and others without a segment. */
function isAlone(marker: number): boolean {
  return marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);
}

/** True for SOF0 to SOF15; DHT, JPG and DAC lie in the same range. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** Position of the marker after a scan's data; restart markers and stuffed zeros are part of the data. */
function endOfScan(bytes: Uint8Array, start: number): number {
  for (let at = start;; at++) {
    at = bytes.indexOf(0xff, at);
    if (at < 0) return bytes.length;
    const next = bytes[at + 1];
    const isRestart = next !== undefined && next >= 0xd0 && next <= 0xd7;
    if (next !== 0 && next !== 0xff && !isRestart) return at;
  }
}
