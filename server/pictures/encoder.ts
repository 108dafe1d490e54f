/**
 * Pictures as files. Encoding happens in a worker of its own: a large grid takes longer than a health check may.
 *
 * @module
 */
import type { ImageMetadata } from "../../lib/image/images.ts";
import type { Pixels } from "../engine/engine.ts";

/** Formats of a picture; `gif` is an animation. */
export type PictureFormat = "png" | "jpeg" | "webp" | "gif";

/** Pictures of one request: a single image, a grid where there are several, an animation where there are frames. */
export interface PictureJob {
  readonly format: PictureFormat;
  readonly height: number;
  readonly width: number;
  /** Pixels per pixel, 1 to 16. */
  readonly scale: number;
  /** The images, in order; for `gif` of the last frame. */
  readonly images: readonly Pixels[];
  readonly metadata: readonly ImageMetadata[];
  /** For `gif`: what comes before the last frame, each with as many images. */
  readonly frames?: readonly (readonly Pixels[])[];
}

/** Makes files of pictures. */
export interface Encoder {
  /** @throws {Error} when the worker fails; it is started again for the next one */
  encode(job: PictureJob): Promise<Uint8Array<ArrayBuffer>>;
  close(): void;
}
