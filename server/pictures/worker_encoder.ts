/**
 * Encoder on the main thread: sends pictures to its worker.
 *
 * @module
 */
import type { Encoder, PictureJob } from "./encoder.ts";
import { type Asker, type PictureWork, PictureWorker, type PictureWorkerOptions } from "./picture_worker.ts";

const ENCODING: PictureWork<PictureJob> = {
  name: "encoder",
  start: () =>
    new Worker(new URL("./encoder_worker.ts", import.meta.url), { type: "module", name: "encoder" }),
  late: "drawn, but not encoded in time",
  // of all frames
  size: ({ images, height, width, scale, frames = [] }) =>
    (frames.length + 1) * images.length * height * width * scale ** 2,
  describe: ({ format }) => `a ${format}`,
};

/** Encodes in a worker, which is ready for the first picture. */
export class WorkerEncoder implements Encoder {
  readonly #worker: PictureWorker<PictureJob, Uint8Array<ArrayBuffer>>;

  constructor(options: PictureWorkerOptions = {}) {
    this.#worker = new PictureWorker(ENCODING, options);
    this.#worker.warmUp();
  }

  encode(pictures: readonly PictureJob[], asker: Asker): Promise<Uint8Array<ArrayBuffer>[]> {
    return this.#worker.run(pictures, asker);
  }

  close(): void {
    this.#worker.close();
  }
}
