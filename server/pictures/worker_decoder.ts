/**
 * Decoder on the main thread: sends uploaded pictures to its worker.
 *
 * @module
 */
import { claimedDimensions } from "../../lib/data/decode/header.ts";
import { type DecodedEdit, type Decoder, type EditFilesJob, PictureError } from "./decoder.ts";
import type { DecodingResult } from "./decoder_worker.ts";
import { MAX_UPLOAD_PIXELS } from "./limits.ts";
import { type Asker, type PictureWork, PictureWorker, type PictureWorkerOptions } from "./picture_worker.ts";

/** Maximum number of waiting requests, each of which may have as many bytes as a body. */
const WAITING = 16;
/** Timeout of one request's pictures in seconds. */
const SECONDS = 20;
/** Cost of the messages to and from the worker, in pixels. */
const MESSAGES = 2 ** 12;

const DECODING: PictureWork<EditFilesJob> = {
  name: "decoder",
  start: () =>
    new Worker(new URL("./decoder_worker.ts", import.meta.url), { type: "module", name: "decoder" }),
  late: "the picture was not decoded in time",
  size: ({ image, mask }) => MESSAGES + cost(image) + (mask ? cost(mask) : 0),
  describe: ({ mask }) => mask ? "a picture with a mask" : "a picture",
  transfer: ({ image, mask }) => [image.buffer, ...(mask ? [mask.buffer] : [])],
};

/** Cost of decoding a file in pixels, as its header claims them; of a file without a header its bytes, which are searched. */
function cost(file: Uint8Array): number {
  const { width, height } = claimedDimensions(file) ?? { width: 0, height: 0 };
  return Math.max(file.length, Math.min(width * height, MAX_UPLOAD_PIXELS)); // larger ones are refused undecoded
}

/** Decodes in a worker, which starts with the first picture. */
export class WorkerDecoder implements Decoder {
  readonly #worker: PictureWorker<EditFilesJob, DecodingResult>;

  constructor(options: PictureWorkerOptions = {}) {
    this.#worker = new PictureWorker(DECODING, { waiting: WAITING, seconds: SECONDS, ...options });
  }

  async decode(job: EditFilesJob, asker: Asker): Promise<DecodedEdit> {
    const [result] = await this.#worker.run([job], asker);
    if ("edit" in result!) return result.edit; // a result for each job
    throw new PictureError(result!.field, result!.message);
  }

  close(): void {
    this.#worker.close();
  }
}
