/**
 * Decodes the files of a request for the model that draws from them.
 *
 * @module
 */
import { imageChannels } from "../../lib/model/config.ts";
import type { ServedModel } from "../engine/engine.ts";
import type { DecodedEdit, EditFiles } from "../pictures/decoder.ts";
import type { Asker } from "../pictures/picture_worker.ts";
import type { ServerContext } from "./context.ts";
import { ProblemError } from "./problem.ts";

/** A model's size, which pictures are cropped and resized to. */
export type PictureSize = Pick<ServedModel, "height" | "width" | "config">;

/**
 * Decodes files, whose buffers are moved to the decoder's worker.
 *
 * @throws {PictureError} naming the file that is no picture, damaged or too large, or the mask of another size
 * @throws {JobError} 499 when the client disconnects, 503 when the queue is full, 504 past the deadline
 */
export async function decodeFiles(
  { decoder, metrics }: Pick<ServerContext, "decoder" | "metrics">,
  files: EditFiles,
  { height, width, config }: PictureSize,
  asker: Asker,
): Promise<DecodedEdit> {
  const start = performance.now();
  const edit = await decoder.decode({ ...files, height, width, channels: imageChannels(config) }, asker);
  metrics.decoded((performance.now() - start) / 1000);
  return edit;
}

/** True if pictures for one model fit the other. */
export function isSameSize(a: PictureSize, b: PictureSize): boolean {
  return a.height === b.height && a.width === b.width && imageChannels(a.config) === imageChannels(b.config);
}

/**
 * Checks that files were decoded for the size of the model that is served now: it may have been replaced meanwhile.
 *
 * @throws {ProblemError} 503
 */
export function checkSameSize(decodedFor: PictureSize, now: PictureSize): void {
  if (isSameSize(decodedFor, now)) return;
  throw new ProblemError(503, "model_replaced", "the model was replaced by one of another size; try again", {
    headers: { "Retry-After": "1" },
  });
}
