/**
 * Image encoder interface. Encoding happens in a worker of its own: a large grid takes longer than a health check may.
 *
 * @module
 */
import type { ImageMetadata } from "../../lib/image/images.ts";
import type { Pixels } from "../engine/engine.ts";
import type { Asker } from "./picture_worker.ts";

/** Formats of a picture; `gif` is an animation. */
export type PictureFormat = "png" | "jpeg" | "webp" | "gif";

/** A picture to encode: one image, a grid of several, or an animation if there are frames. */
export interface PictureJob {
  readonly format: PictureFormat;
  readonly height: number;
  readonly width: number;
  /** Integer upscaling factor, 1 to 16. */
  readonly scale: number;
  /** Images in order; for `gif`, those of the last frame. */
  readonly images: readonly Pixels[];
  readonly metadata: readonly ImageMetadata[];
  /** For `gif`: all frames before the last, each with the same number of images. */
  readonly frames?: readonly (readonly Pixels[])[];
}

/** Image encoder. */
export interface Encoder {
  /**
   * Encodes each picture of a request as a file, in order.
   *
   * @throws {JobError} 499 when the client disconnects, 503 when the queue is full, 504 past the deadline
   * @throws {Error} when the worker fails; it is restarted
   */
  encode(pictures: readonly PictureJob[], asker: Asker): Promise<Uint8Array<ArrayBuffer>[]>;
  close(): void;
}
