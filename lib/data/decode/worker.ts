/**
 * Worker that decodes images, so that the main thread stays responsive to signals.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { decodeImage } from "./decode.ts";
import { cropToSize } from "./resize.ts";

/** One image to decode. */
export interface DecodeJob {
  /** File name for errors. */
  readonly file: string;
  /** The whole file. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Height and width to crop and resize to; if undefined, the image keeps its size. */
  readonly side: number | undefined;
}

/** A decoded image. */
export interface DecodedImage {
  /** Width of the source in pixels. */
  readonly width: number;
  /** Height of the source in pixels. */
  readonly height: number;
  /** RGB values, shape `[side, side, 3]`, or `[height, width, 3]` if no side was given. */
  readonly rgb: Uint8Array<ArrayBuffer>;
}

/** Result of a {@link DecodeJob}; results arrive in the order of their jobs. */
export type DecodeAnswer =
  | { readonly image: DecodedImage }
  | { readonly error: string; readonly isDataError: boolean };

/** The used part of a worker's global scope. */
interface Scope {
  onmessage: ((event: MessageEvent<DecodeJob>) => void) | null;
  postMessage(answer: DecodeAnswer, transfer?: Transferable[]): void;
}
const scope = globalThis as unknown as Scope;

scope.onmessage = async ({ data }) => {
  try {
    const image = await decode(data);
    scope.postMessage({ image }, [image.rgb.buffer]);
  } catch (error) {
    const isDataError = error instanceof DataError;
    const text = isDataError ? error.message : error instanceof Error ? error.stack : undefined;
    scope.postMessage({ error: text ?? String(error), isDataError });
  }
};

async function decode({ file, bytes, side }: DecodeJob): Promise<DecodedImage> {
  const image = await decodeImage(bytes, file);
  const { width, height, rgba } = image;
  const rgb = new Uint8Array(3 * (side === undefined ? width * height : side * side));
  if (side !== undefined) cropToSize(image, { width: side, height: side }, rgb);
  else {
    for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
      rgb[to] = rgba[from]!; // `rgba` has four bytes for three of `rgb`
      rgb[to + 1] = rgba[from + 1]!;
      rgb[to + 2] = rgba[from + 2]!;
    }
  }
  return { width, height, rgb };
}
