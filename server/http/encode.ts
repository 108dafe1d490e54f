/**
 * Encodes the pictures of a job as files, before the deadline of its request.
 *
 * @module
 */
import { imageMetadata } from "../../lib/sampling/metadata.ts";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { ServerContext } from "./context.ts";
import type { PictureFormat, PictureJob } from "../pictures/encoder.ts";
import type { Pixels, ServedModel } from "../engine/engine.ts";
import type { Asker } from "../pictures/picture_worker.ts";
import type { JobResult } from "../queue/job.ts";

/** A picture to encode as one file. */
export interface PictureParts {
  readonly draw: DrawPlan;
  readonly model: ServedModel;
  readonly format: PictureFormat;
  readonly scale: number;
  /** Images of the job, in order. */
  readonly images: readonly Pixels[];
  /** Index in the job of the first of `images`. Default 0. */
  readonly first?: number;
  readonly frames?: readonly (readonly Pixels[])[];
  /** The client that waits for it. */
  readonly asker: Asker;
}

type EncodingContext = Pick<ServerContext, "encoder" | "metrics">;

/**
 * Encodes one image, a grid of several, or an animation, before the deadline of the request.
 *
 * @throws {JobError} 499 when the client disconnects, 503 when the encoder's queue is full, 504 past the deadline
 */
export async function encodePicture(
  context: EncodingContext,
  parts: PictureParts,
): Promise<Uint8Array<ArrayBuffer>> {
  const [file] = await encodeAll(context, parts, [parts]);
  return file!; // a file for each picture
}

/**
 * Encodes every image of a finished job as a file of its own, before the deadline of the request.
 *
 * @throws {JobError} 499 when the client disconnects, 503 when the encoder's queue is full, 504 past the deadline
 */
export async function encodeEach(
  context: EncodingContext,
  draw: DrawPlan,
  { images, model }: Pick<JobResult, "model" | "images">,
  { format, scale, asker }: Pick<PictureParts, "format" | "scale" | "asker">,
): Promise<Uint8Array<ArrayBuffer>[]> {
  const shared = { draw, model, format, scale, asker };
  const parts = images.map((image, first) => ({ ...shared, images: [image], first }));
  return await encodeAll(context, shared, parts);
}

/** Encodes the pictures of one request. */
async function encodeAll(
  { encoder, metrics }: EncodingContext,
  { asker, format }: Pick<PictureParts, "asker" | "format">,
  pictures: readonly PictureParts[],
): Promise<Uint8Array<ArrayBuffer>[]> {
  const start = performance.now();
  const files = await encoder.encode(pictures.map(pictureJob), asker);
  metrics.encoded(format, (performance.now() - start) / 1000);
  return files;
}

function pictureJob({ draw, model, format, scale, images, frames, first = 0 }: PictureParts): PictureJob {
  const metadata = images.map((_, i) => imageMetadata(draw, { ...model, model: model.id }, first + i));
  const { height, width } = model;
  return { format, height, width, scale, images, metadata, frames };
}
