/**
 * The worker that decodes images, so that the thread that hears signals never waits for one.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { decodeImage } from "./decode.ts";
import { cropToSquare } from "./resize.ts";

/** One image to decode. */
export interface DecodeJob {
  /** Its name, for errors. */
  readonly file: string;
  /** The whole file. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Rows and columns to crop and scale it to; if undefined, it keeps its dimensions. */
  readonly side: number | undefined;
}

/** A decoded image. */
export interface DecodedImage {
  /** Columns of the source. */
  readonly width: number;
  /** Rows of the source. */
  readonly height: number;
  /** Red, green and blue, shape `[side, side, 3]`, or `[height, width, 3]` without alpha where no side was asked for. */
  readonly rgb: Uint8Array<ArrayBuffer>;
}

/** The answer to each {@link DecodeJob}, in order. */
export type DecodeAnswer =
  | { readonly image: DecodedImage }
  | { readonly error: string; readonly isDataError: boolean };

/** This worker as seen from within, as far as it is needed. */
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
  if (side !== undefined) cropToSquare(image, side, rgb);
  else {
    for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
      rgb[to] = rgba[from];
      rgb[to + 1] = rgba[from + 1];
      rgb[to + 2] = rgba[from + 2];
    }
  }
  return { width, height, rgb };
}
