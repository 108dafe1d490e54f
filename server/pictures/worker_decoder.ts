/**
 * Decoder on the main thread: sends uploaded pictures to its worker.
 *
 * @module
 */
import { type DecodedEdit, type Decoder, type EditFilesJob, PictureError } from "./decoder.ts";
import type { DecodingResult } from "./decoder_worker.ts";
import { type Asker, type PictureWork, PictureWorker, type PictureWorkerOptions } from "./picture_worker.ts";

/** Maximum number of waiting requests, each of which may have as many bytes as a body. */
const WAITING = 16;
/** Timeout of one request's pictures in seconds. */
const SECONDS = 20;

const DECODING: PictureWork<EditFilesJob> = {
  name: "decoder",
  start: () =>
    new Worker(new URL("./decoder_worker.ts", import.meta.url), { type: "module", name: "decoder" }),
  late: "the picture was not decoded in time",
  size: ({ image, mask }) => image.length + (mask?.length ?? 0),
  describe: ({ mask }) => mask ? "a picture with a mask" : "a picture",
  transfer: ({ image, mask }) => [image.buffer, ...(mask ? [mask.buffer] : [])],
};

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
