/**
 * Jobs: requests for many images that are drawn in the background and survive the process.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type Clock, systemClock } from "../clock.ts";
import { checkSameSize, type PictureSize } from "../http/decode.ts";
import type { PlanSettings } from "../http/plan.ts";
import { ProblemError } from "../http/problem.ts";
import { servedModel } from "../http/served.ts";
import type { DecodedEdit, EditFiles } from "../pictures/decoder.ts";
import { checkRows } from "../queue/admission.ts";
import type { ServerSettings } from "../settings.ts";
import { type DrawingContext, JobDrawing, type JobListener } from "./drawing.ts";
import { completeRequest, type JobFields } from "./fields.ts";
import { JobStorage, type JobStorageOptions } from "./storage.ts";
import { isFinal, type JobStore, type NewJob, type StoredJob } from "./store.ts";
import { describeJob } from "./answers.ts";
import { WebhookDelivery } from "./webhooks/delivery.ts";
import { createWebhookSecret } from "./webhooks/signature.ts";
import { parseWebhookUrl, webhookHostText } from "./webhooks/target.ts";

/** Share of all unfinished jobs that one client may have. */
const CLIENT_SHARE = 0.5;

/** Settings that limit a job. */
type JobLimits = PlanSettings & Pick<ServerSettings, "maxJobImages">;

/** A request for a job. */
export interface JobAsked {
  readonly client: string;
  /** Name of its API key, for the log. */
  readonly keyName?: string;
  /** The server's settings with the limits of the client. */
  readonly limits: JobLimits;
  /** Sent again with the same key, the request gives the same job. */
  readonly idempotencyKey: string | undefined;
  readonly fields: JobFields;
  /** Pictures that its images are drawn from. */
  readonly pictures?: AskedPictures;
}

/** Pictures of a request: as they were sent, and decoded for a model. */
export interface AskedPictures {
  readonly files: EditFiles;
  readonly decoded: DecodedEdit;
  readonly model: PictureSize;
}

/** The answer to a request for a job. */
export interface AcceptedJob {
  readonly job: StoredJob;
  readonly isNew: boolean;
  /** Key of its webhook, where the request had none. */
  readonly secret?: string;
}

/** The server's jobs. */
export class Jobs {
  readonly #context: DrawingContext;
  readonly #storage: JobStorage;
  readonly #drawing: JobDrawing;
  readonly #webhooks: WebhookDelivery;
  readonly #listeners = new Set<JobListener>();
  readonly #onClose = new Set<() => void>();

  /** Resumes the unfinished jobs of a store, which is closed with this. */
  constructor(
    store: JobStore,
    context: DrawingContext,
    { clock = systemClock, ...options }: JobStorageOptions & { readonly clock?: Clock } = {},
  ) {
    this.#context = context;
    this.#storage = new JobStorage(store, context, { clock, ...options });
    this.#drawing = new JobDrawing(context, this.#storage, (job, image) => this.#changed(job, image), clock);
    this.#webhooks = new WebhookDelivery(store, context, {
      now: this.#storage.now,
      clock,
      describe: ({ webhook: _, ...job }) => describeJob(job, this, context.settings),
    });
    context.metrics.watchJobs(() => store.counts(), () => store.bytes());
    const unfinished = store.unfinished();
    if (unfinished.length > 0) context.log.info("jobs resumed", { jobs: unfinished.length });
    for (const job of unfinished) this.#drawing.add(job);
  }

  /** Stored jobs. */
  get store(): JobStore {
    return this.#storage.store;
  }

  /** Why no images are drawn or stored at present; undefined where they are, as far as other requests allow. */
  get trouble(): string | undefined {
    if (!this.#context.device.models.some(({ model }) => model)) {
      return "no model is ready; the engine is restarting";
    }
    return this.#storage.trouble;
  }

  /**
   * The job that the same request was accepted as, if it was sent before with this idempotency key.
   *
   * @throws {ProblemError} 422 for a key of another request
   */
  known(
    { client, idempotencyKey, fields }: Pick<JobAsked, "client" | "idempotencyKey" | "fields">,
    files?: EditFiles,
  ): StoredJob | undefined {
    const known = idempotencyKey === undefined ? undefined : this.store.byKey(client, idempotencyKey);
    if (!known || known.requestDigest === digestOf(fields, files)) return known?.job;
    const detail = "Idempotency-Key: expected one that no other request was sent with";
    throw new ProblemError(422, "idempotency_key_reused", detail);
  }

  /**
   * Accepts a job.
   *
   * @returns the job, and false if it is that of an earlier request with its idempotency key; the key of its webhook if that is
   *   new
   * @throws {ProblemError} 400 for invalid fields, 422 for a key of another request, 429 and 503 where there are too many
   *   jobs or none can be accepted now
   * @throws {ConfigError} for images that do not fit the batch
   */
  create(accepted: JobAsked): AcceptedJob {
    const { client, keyName, idempotencyKey, fields, limits, pictures } = accepted;
    const known = this.known(accepted, pictures?.files);
    if (known) return { job: known, isNew: false };
    const { runner } = this.#context;
    if (runner.state.draining) {
      throw new ProblemError(503, "draining", "the server is shutting down", {
        headers: { "Retry-After": "1" },
      });
    }
    const webhook = this.#webhookOf(fields);
    const { engine, model } = servedModel(this.#context, fields.model ?? undefined);
    const count = fields.count ?? 1;
    checkCount(count, limits);
    if (pictures) checkSameSize(pictures.model, model);
    const { request, draw } = completeRequest(fields, { engine, model }, limits, pictures?.decoded);
    checkRows(draw, engine.rows);
    this.#checkNumber(client);
    const created = this.#storage.now();
    const asked = {
      client,
      idempotencyKey,
      requestDigest: digestOf(fields, pictures?.files),
      request,
      count,
      model: model.id,
      created,
      webhook,
      pictures: pictures?.files,
    };
    const job = this.#write(() => {
      this.#checkRoom(pictures?.files);
      return this.store.add(asked);
    });
    const from = keyName === undefined ? { client } : { key: keyName };
    this.#context.log.info("job accepted", { job: job.id, ...from, model: engine.name, images: count });
    this.#drawing.add(job);
    return { job, isNew: true, ...(webhook && !fields.webhook?.secret ? { secret: webhook.secret } : {}) };
  }

  /** Cancels a job, unless it has ended; its images so far stay. */
  cancel(job: StoredJob): StoredJob {
    if (isFinal(job.state)) return job;
    this.#write(() => this.store.update(job, { state: "cancelled", ended: this.#storage.now() }));
    const cancelled = this.store.get(job.id)!;
    this.#drawing.remove(cancelled);
    this.#changed(cancelled);
    return cancelled;
  }

  /** Cancels the unfinished jobs of some clients, as of API keys that were revoked. */
  cancelOf(isGone: (client: string) => boolean): void {
    for (const job of this.store.unfinished().filter(({ client }) => isGone(client))) {
      try {
        this.cancel(job);
      } catch (error) {
        if (!(error instanceof ProblemError)) throw error; // the disk is full, which is logged
      }
    }
  }

  /**
   * Adds a listener, until the function that is returned is called.
   *
   * @param onClose called when nothing more will be drawn
   */
  listen(listener: JobListener, onClose: () => void = () => {}): () => void {
    this.#listeners.add(listener);
    this.#onClose.add(onClose);
    return () => {
      this.#listeners.delete(listener);
      this.#onClose.delete(onClose);
    };
  }

  /** Stops drawing. Unfinished jobs go on with the next process. */
  stop(): void {
    this.#drawing.close();
    this.#webhooks.close();
    for (const onClose of this.#onClose) onClose();
  }

  /** Closes the database. */
  close(): void {
    this.stop();
    this.#storage.close();
  }

  /** @throws {ProblemError} 400 for a host that is not listed */
  #webhookOf({ webhook }: JobFields): NewJob["webhook"] {
    if (!webhook) return undefined;
    const { hosts } = this.#webhooks;
    const url = parseWebhookUrl(webhook.url, hosts);
    if (url) return { url: url.href, secret: webhook.secret ?? createWebhookSecret() };
    const allowed = hosts.length === 0
      ? "none: this server was started without --webhook-hosts"
      : `an http or https URL on ${hosts.map(webhookHostText).join(", ")}`;
    throw ProblemError.fields([{ field: "webhook.url", value: webhook.url, allowed }]);
  }

  #checkNumber(client: string): void {
    const { maxJobs } = this.#context.settings;
    const { jobs, secondsUntilEnd } = this.#drawing;
    const headers = { "Retry-After": String(secondsUntilEnd) };
    if (jobs.length >= maxJobs) {
      const detail = `there are too many jobs (at most ${maxJobs} unfinished ones)`;
      throw new ProblemError(503, "jobs_full", detail, { headers });
    }
    const most = Math.max(1, Math.floor(CLIENT_SHARE * maxJobs));
    if (jobs.filter((job) => job.client === client).length < most) return;
    const detail = `this client has too many jobs (at most ${most} unfinished ones)`;
    throw new ProblemError(429, "too_many_jobs", detail, { headers });
  }

  /** @throws {ProblemError} 503 where pictures do not fit into the storage of jobs */
  #checkRoom(files: EditFiles | undefined): void {
    if (!files || this.#storage.hasRoom(files.image.length + (files.mask?.length ?? 0))) return;
    const detail = `pictures and images of all jobs may take ${this.#context.settings.jobStorage} MiB`;
    throw new ProblemError(503, "storage_full", detail, {
      headers: { "Retry-After": String(this.#drawing.secondsUntilEnd) },
    });
  }

  #changed(job: StoredJob, image?: number): void {
    if (isFinal(job.state)) {
      const { id, state, done, count, problem } = job;
      this.#context.log.info("job ended", { job: id, state, images: done, of: count, code: problem?.code });
    }
    if (isFinal(job.state)) this.#webhooks.add(job);
    for (const listener of this.#listeners) listener(job, image);
  }

  /** Writes for a request, which is refused where the disk does not allow it. */
  #write<T>(write: () => T): T {
    try {
      return write();
    } catch (cause) {
      if (cause instanceof ProblemError) throw cause;
      this.#context.metrics.jobStorageFailed();
      this.#context.log.error("a job cannot be stored", {}, cause);
      throw new ProblemError(503, "storage_failed", "the job cannot be stored; the server's log says why", {
        headers: { "Retry-After": "60" },
        cause,
      });
    }
  }
}

/** @throws {ProblemError} 400 for more images than a client may have in a job */
function checkCount(count: number, { maxJobImages, limitedBy }: JobLimits): void {
  if (count <= maxJobImages) return;
  const by = limitedBy ? `, the limit of the API key ${limitedBy.name}` : "";
  throw ProblemError.fields([{
    field: "count",
    value: count,
    allowed: `a whole number from 1 to ${maxJobImages}${by}`,
  }]);
}

/** Digest of a request, by which it is known again. */
function digestOf(fields: JobFields, files: EditFiles | undefined): string {
  const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");
  const given = Object.entries(files ?? {}).map(([name, file]) => [name, sha256(file)]);
  return sha256(JSON.stringify(sorted({ ...fields, ...Object.fromEntries(given) })));
}

/** The value with members in order of their names, so that equal requests have equal JSON. */
function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const members = Object.entries(value).filter(([, member]) => member != null);
  return Object.fromEntries(
    members.sort(([a], [b]) => a < b ? -1 : 1).map(([name, member]) => [name, sorted(member)]),
  );
}
