/**
 * Worker that decodes images, so that the main thread stays responsive to signals.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { decodeImage, type ImageTrait } from "./decode.ts";
import { frameImage, type Framing } from "./framing.ts";

/** One image to decode. */
export interface DecodeJob {
  /** File name for errors. */
  readonly file: string;
  /** The whole file. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Frame to fit it into; if undefined, the image keeps its size, and alpha is dropped. */
  readonly framing: Framing | undefined;
}

/** A decoded image. */
export interface DecodedImage {
  /** Width of the source in pixels. */
  readonly width: number;
  /** Height of the source in pixels. */
  readonly height: number;
  /** Values of the framing's shape, or RGB values of the image's. */
  readonly pixels: Uint8Array<ArrayBuffer>;
  /** What its file had; see {@linkcode ImageTrait}. */
  readonly traits: readonly ImageTrait[];
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
    scope.postMessage({ image }, [image.pixels.buffer]);
  } catch (error) {
    const isDataError = error instanceof DataError;
    const text = isDataError ? error.message : error instanceof Error ? error.stack : undefined;
    scope.postMessage({ error: text ?? String(error), isDataError });
  }
};

async function decode({ file, bytes, framing }: DecodeJob): Promise<DecodedImage> {
  const image = await decodeImage(bytes, file);
  const { width, height, rgba, traits } = image;
  if (framing) {
    const pixels = new Uint8Array(framing.channels * framing.width * framing.height);
    frameImage(image, framing, pixels);
    return { width, height, pixels, traits };
  }
  const pixels = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < pixels.length; from += 4, to += 3) {
    pixels[to] = rgba[from]!; // `rgba` has four bytes for three of `pixels`
    pixels[to + 1] = rgba[from + 1]!;
    pixels[to + 2] = rgba[from + 2]!;
  }
  return { width, height, pixels, traits };
}
