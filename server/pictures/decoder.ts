/**
 * Decoder of uploaded pictures. Decoding happens in a worker of its own: a photograph takes longer than a health check may, and a
 * decoder that fails must not take the server with it.
 *
 * @module
 */
import type { ImageEdit } from "../../lib/sampling/edits/image_edit.ts";
import type { Asker } from "./picture_worker.ts";

/** Files of an edit: PNG, JPEG, WebP or GIF. */
export interface EditFiles {
  /** The given image; transparency becomes white. */
  readonly image: Uint8Array<ArrayBuffer>;
  /** Of the image's size; drawn anew where it is transparent. */
  readonly mask?: Uint8Array<ArrayBuffer>;
}

/** Files to decode, and what they are cropped and resized to. The buffers are moved to the worker. */
export interface EditFilesJob extends EditFiles {
  readonly height: number;
  readonly width: number;
  /** 1 (grey) or 3 (RGB). */
  readonly channels: number;
}

/** Image and mask in the model's size. */
export type DecodedEdit = Pick<ImageEdit, "image" | "mask">;

/** Error of a file that cannot be used. */
export class PictureError extends Error {
  override name = "PictureError";

  /** @param message `FIELD: what is wrong` */
  constructor(readonly field: keyof EditFiles, message: string) {
    super(message);
  }
}

/** Decoder of uploaded pictures. */
export interface Decoder {
  /**
   * Decodes the files of an edit.
   *
   * @throws {PictureError} naming the file that is no picture, damaged or too large, or the mask of another size
   * @throws {JobError} 499 when the client disconnects, 503 when the queue is full, 504 past the deadline
   * @throws {Error} when the worker fails; it is restarted
   */
  decode(job: EditFilesJob, asker: Asker): Promise<DecodedEdit>;
  close(): void;
}
