/**
 * Image encoder interface. Encoding happens in a worker of its own: a large grid takes longer than a health check may.
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

/** For whom pictures are made into files. */
export interface Asker {
  /** Takes turns with others. */
  readonly client: string;
  /** Aborted when the client goes away: its pictures are given up. */
  readonly signal: AbortSignal;
  /** Seconds until the deadline. */
  readonly seconds: number;
}

/** Makes files of pictures. */
export interface Encoder {
  /**
   * Makes a file of each picture of a request, in order.
   *
   * @throws {JobError} 499 where the client went away, 503 where too many requests wait, 504 out of time
   * @throws {Error} when the worker fails; it is started again for the next one
   */
  encode(pictures: readonly PictureJob[], asker: Asker): Promise<Uint8Array<ArrayBuffer>[]>;
  close(): void;
}
