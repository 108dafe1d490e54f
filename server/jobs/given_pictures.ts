/**
 * Pictures that images of jobs are drawn from, decoded for the model that draws them.
 *
 * They are stored as they were sent: a model of another size, which may come before the job is begun, gets all of them.
 *
 * @module
 */
import type { ServedModel } from "../engine/engine.ts";
import type { ServerContext } from "../http/context.ts";
import { decodeFiles, isSameSize } from "../http/decode.ts";
import type { DecodedEdit } from "../pictures/decoder.ts";
import type { JobStore, StoredJob } from "./store.ts";

/** Seconds that the decoder has for a job's pictures, waiting included. */
const DECODE_SECONDS = 600;

interface Decoded {
  readonly model: ServedModel;
  readonly pictures: Promise<DecodedEdit | undefined>;
}

/** Pictures of jobs that are being drawn, each decoded once. */
export class GivenPictures {
  readonly #context: Pick<ServerContext, "decoder" | "metrics">;
  readonly #store: JobStore;
  readonly #decoded = new Map<string, Decoded>();

  constructor(context: Pick<ServerContext, "decoder" | "metrics">, store: JobStore) {
    this.#context = context;
    this.#store = store;
  }

  /**
   * The pictures of a job in the size of a model; undefined for a job without.
   *
   * @param signal aborted with the job
   * @throws {PictureError} where they cannot be decoded
   * @throws {JobError} 503 when the decoder's queue is full
   */
  of(job: StoredJob, model: ServedModel, signal: AbortSignal): Promise<DecodedEdit | undefined> {
    const known = this.#decoded.get(job.id);
    if (known && isSameSize(known.model, model)) return known.pictures;
    const pictures = this.#decode(job, model, signal);
    this.#decoded.set(job.id, { model, pictures });
    // The next attempt decodes again.
    pictures.catch(() => this.#decoded.get(job.id)?.pictures === pictures && this.forget(job));
    return pictures;
  }

  /** Frees the memory of a job that has ended. */
  forget({ id }: Pick<StoredJob, "id">): void {
    this.#decoded.delete(id);
  }

  async #decode(job: StoredJob, model: ServedModel, signal: AbortSignal): Promise<DecodedEdit | undefined> {
    const files = this.#store.pictures(job);
    const asker = { client: job.client, signal, seconds: DECODE_SECONDS };
    return files && await decodeFiles(this.#context, files, model, asker);
  }
}
