/**
 * Stored jobs and their images, in an SQLite database that survives the process.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { EditFiles } from "../pictures/decoder.ts";
import { openDatabase } from "./database.ts";
import type { StoredRequest } from "./fields.ts";

/** States of a stored job; the last three are final. */
export const jobStates = ["queued", "running", "done", "failed", "cancelled"] as const;

/** A state of a stored job. */
export type JobState = typeof jobStates[number];

/** Reason why a job failed. */
export interface JobProblem {
  /** Machine-readable, such as `model_changed`. */
  readonly code: string;
  readonly detail: string;
}

/** An attempt at a delivery. */
export interface WebhookAttempt {
  /** Milliseconds since 1970. */
  readonly time: number;
  /** HTTP status of the answer, or why there is none. */
  readonly status?: number;
  readonly error?: string;
}

/** Webhook of a job, which is sent when the job has ended. */
export interface StoredWebhook {
  readonly url: string;
  /** Key of its signatures. */
  readonly secret: string;
  readonly state: "pending" | "delivered" | "failed";
  /** When the next attempt is due, milliseconds since 1970; undefined: at the end of the job, or never again. */
  readonly due?: number;
  readonly attempts: readonly WebhookAttempt[];
}

/** A job as it is stored; times are milliseconds since 1970. */
export interface StoredJob {
  /** Number in order of creation. */
  readonly number: number;
  /** Random id of the job, known to its client. */
  readonly id: string;
  readonly client: string;
  readonly request: StoredRequest;
  /** Images of the job, and those that are drawn and stored. */
  readonly count: number;
  readonly done: number;
  /** Bytes of the stored images and, until its end, of the given pictures. */
  readonly bytes: number;
  /** Id of the model that draws it. */
  readonly model: string;
  readonly state: JobState;
  readonly problem?: JobProblem;
  readonly webhook?: StoredWebhook;
  readonly created: number;
  readonly started?: number;
  readonly ended?: number;
}

/** A job to store. */
export interface NewJob extends Pick<StoredJob, "client" | "request" | "count" | "model" | "created"> {
  /** Key by which the client may repeat the request, and digest of the request that it was sent with. */
  readonly idempotencyKey?: string;
  readonly requestDigest: string;
  readonly webhook?: Pick<StoredWebhook, "url" | "secret">;
  /** Pictures that its images are drawn from. */
  readonly pictures?: EditFiles;
}

/** True for states that a job does not leave. */
export function isFinal(state: JobState): boolean {
  return state === "done" || state === "failed" || state === "cancelled";
}

/** Number of images that are deleted in one transaction, between which requests are answered. */
const DELETED_AT_ONCE = 500;

/** Columns of a job that may change. */
type Changes = Partial<Pick<StoredJob, "state" | "problem" | "started" | "ended" | "model">>;

/** Stored jobs. Methods throw SQLite's errors where the disk is full or fails. */
export class JobStore {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** @throws {ConfigError} where the database cannot be used */
  constructor(path: string) {
    this.#db = openDatabase(path);
  }

  /** Stores a job. It is on the disk when this returns, even if the machine loses power then. */
  add(job: NewJob): StoredJob {
    const id = `job_${crypto.getRandomValues(new Uint8Array(16)).toHex()}`;
    this.#db.exec("PRAGMA synchronous = FULL");
    try {
      this.#transaction(() => this.#insert(id, job));
    } finally {
      this.#db.exec("PRAGMA synchronous = NORMAL");
    }
    return this.get(id)!;
  }

  #insert(id: string, job: NewJob): void {
    const { client, idempotencyKey = null, requestDigest, request, count, model, created, webhook } = job;
    const files = Object.entries(job.pictures ?? {});
    const bytes = files.reduce((sum, [, file]) => sum + file.length, 0);
    const { lastInsertRowid: number } = this.#prepare(
      "INSERT INTO jobs (id, client, idempotency_key, request_digest, request, count, model, created, bytes, state, " +
        "webhook_url, webhook_secret, webhook_state, webhook_attempts) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, '[]')",
    ).run(
      ...[id, client, idempotencyKey, requestDigest, JSON.stringify(request), count, model, created, bytes],
      ...webhook ? [webhook.url, webhook.secret, "pending"] : [null, null, null],
    );
    for (const [kind, file] of files) {
      this.#prepare("INSERT INTO pictures (job, kind, file) VALUES (?, ?, ?)").run(number, kind, file);
    }
  }

  /** Pictures that the images of an unfinished job are drawn from; undefined where they are drawn from noise. */
  pictures({ number }: Pick<StoredJob, "number">): EditFiles | undefined {
    const rows = this.#prepare("SELECT kind, file FROM pictures WHERE job = ?").all(number);
    const files = Object.fromEntries(rows.map(({ kind, file }) => [kind, file])) as Partial<EditFiles>;
    return files.image && { ...files, image: files.image };
  }

  /** A job by its id. */
  get(id: string): StoredJob | undefined {
    const row = this.#prepare("SELECT * FROM jobs WHERE id = ? AND swept = 0").get(id);
    return row && jobFrom(row);
  }

  /** The job that a client has sent with an idempotency key, and the digest of that request. */
  byKey(
    client: string,
    key: string,
  ): { readonly job: StoredJob; readonly requestDigest: string } | undefined {
    const row = this.#prepare("SELECT * FROM jobs WHERE client = ? AND idempotency_key = ? AND swept = 0")
      .get(client, key);
    return row && { job: jobFrom(row), requestDigest: String(row.request_digest) };
  }

  /**
   * Jobs, the newest first.
   *
   * @param client undefined for those of all clients
   * @param before number of a job; only older ones are listed
   */
  list(client: string | undefined, limit: number, before = Number.MAX_SAFE_INTEGER): StoredJob[] {
    const own = client === undefined ? "" : "client = ? AND";
    return this.#prepare(
      `SELECT * FROM jobs WHERE ${own} number < ? AND swept = 0 ORDER BY number DESC LIMIT ?`,
    ).all(...client === undefined ? [] : [client], before, limit).map(jobFrom);
  }

  /** Jobs in states that are not final, oldest first. */
  unfinished(): StoredJob[] {
    return this.#prepare(
      "SELECT * FROM jobs WHERE swept = 0 AND state IN ('queued', 'running') ORDER BY number",
    ).all().map(jobFrom);
  }

  /** Number of jobs in each state. */
  counts(): Record<JobState, number> {
    const counts = { queued: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
    const rows = this.#prepare("SELECT state, count(*) AS count FROM jobs WHERE swept = 0 GROUP BY state")
      .all();
    for (const { state, count } of rows) counts[state as JobState] = Number(count);
    return counts;
  }

  /** Bytes of the images of all jobs, and of the pictures given for unfinished ones. */
  bytes(): number {
    return Number(
      this.#prepare("SELECT coalesce(sum(bytes), 0) AS bytes FROM jobs WHERE swept = 0").get()!.bytes,
    );
  }

  /** Changes a job, unless its state is final. */
  update({ number }: Pick<StoredJob, "number">, changes: Changes): void {
    const columns = Object.entries(changes).map(([name, value]) =>
      [name, name === "problem" ? JSON.stringify(value) : value] as const
    );
    this.#prepare(
      `UPDATE jobs SET ${columns.map(([name]) => `${name} = ?`).join(", ")} ` +
        "WHERE number = ? AND state IN ('queued', 'running')",
    ).run(...columns.map(([, value]) => value as string | number), number);
  }

  /** Ended jobs whose webhooks are not delivered. */
  pendingWebhooks(): StoredJob[] {
    return this.#prepare(
      "SELECT * FROM jobs WHERE webhook_state = 'pending' AND swept = 0 AND state NOT IN ('queued', 'running')",
    ).all().map(jobFrom);
  }

  /** Stores the state of a webhook. */
  updateWebhook({ number }: Pick<StoredJob, "number">, { state, due, attempts }: StoredWebhook): void {
    this.#prepare("UPDATE jobs SET webhook_state = ?, webhook_due = ?, webhook_attempts = ? WHERE number = ?")
      .run(state, due ?? null, JSON.stringify(attempts), number);
  }

  /**
   * Stores an image, once: one that is there already stays.
   *
   * @param digest of its pixels
   * @param now time of the end, if it is the last image
   * @returns the job with its image
   */
  addImage(
    { number, id }: Pick<StoredJob, "number" | "id">,
    position: number,
    { png, digest, now }: { readonly png: Uint8Array; readonly digest: Uint8Array; readonly now: number },
  ): StoredJob {
    this.#transaction(() => {
      const { changes } = this.#prepare(
        "INSERT INTO images (job, position, digest, png) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      ).run(number, position, digest, png);
      if (changes === 0) return;
      this.#prepare("UPDATE jobs SET done = done + 1, bytes = bytes + ? WHERE number = ?")
        .run(png.length, number);
      this.#prepare(
        "UPDATE jobs SET state = 'done', ended = ? WHERE number = ? AND done = count AND state IN ('queued', 'running')",
      )
        .run(now, number);
    });
    return this.get(id)!;
  }

  /** An image as PNG; undefined where it is not stored. */
  image({ number }: Pick<StoredJob, "number">, position: number): Uint8Array<ArrayBuffer> | undefined {
    const row = this.#prepare("SELECT png FROM images WHERE job = ? AND position = ?").get(number, position);
    return row?.png as Uint8Array<ArrayBuffer> | undefined;
  }

  /** Digest of an image's pixels. */
  imageDigest({ number }: Pick<StoredJob, "number">, position: number): Uint8Array | undefined {
    const row = this.#prepare("SELECT digest FROM images WHERE job = ? AND position = ?").get(
      number,
      position,
    );
    return row?.digest as Uint8Array | undefined;
  }

  /** Positions of a job's stored images, in order. */
  positions({ number }: Pick<StoredJob, "number">): number[] {
    return this.#prepare("SELECT position FROM images WHERE job = ? ORDER BY position").all(number)
      .map(({ position }) => Number(position));
  }

  /** Bytes of a job's stored images, in order. */
  imageSizes({ number }: Pick<StoredJob, "number">): { readonly position: number; readonly size: number }[] {
    return this.#prepare("SELECT position, length(png) AS size FROM images WHERE job = ? ORDER BY position")
      .all(number).map(({ position, size }) => ({ position: Number(position), size: Number(size) }));
  }

  /** Job that ended first, of those whose webhooks are settled, or of all. */
  oldestEnded(which: "settled" | "all"): StoredJob | undefined {
    const settled = which === "all" ? "" : "AND webhook_state IS NOT 'pending'";
    const row = this.#prepare(
      `SELECT * FROM jobs WHERE swept = 0 AND state NOT IN ('queued', 'running') ${settled} ORDER BY ended LIMIT 1`,
    ).get();
    return row && jobFrom(row);
  }

  /** Forgets a job: it is not found from now on. {@linkcode JobStore.deleteSome} deletes its images. */
  sweep({ number }: Pick<StoredJob, "number">): void {
    this.#prepare("UPDATE jobs SET swept = 1 WHERE number = ?").run(number);
  }

  /** Deletes some images of swept jobs, and their space from the file; true if there is more to delete. */
  deleteSome(): boolean {
    const swept = this.#prepare("SELECT number FROM jobs WHERE swept = 1 LIMIT 1").get();
    if (!swept) return false;
    const number = swept.number!; // the selected column
    this.#transaction(() => {
      const { changes } = this.#prepare(
        "DELETE FROM images WHERE rowid IN (SELECT rowid FROM images WHERE job = ? LIMIT ?)",
      ).run(number, DELETED_AT_ONCE);
      if (changes < DELETED_AT_ONCE) this.#prepare("DELETE FROM jobs WHERE number = ?").run(number);
    });
    this.#prepare("PRAGMA incremental_vacuum").all(); // each row frees a page
    return true;
  }

  /** Moves what is in the write-ahead log to the database, which frees the space of the log. */
  emptyLog(): void {
    this.#prepare("PRAGMA wal_checkpoint(TRUNCATE)").get();
  }

  /** Closes the file and releases its lock. */
  close(): void {
    this.#db.close();
  }

  #transaction(body: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      body();
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, statement = this.#db.prepare(sql));
    return statement;
  }
}

function jobFrom(row: Record<string, unknown>): StoredJob {
  const { number, id, client, request, count, done, bytes, model, state, problem, created, started, ended } =
    row;
  return {
    number: Number(number),
    id: String(id),
    client: String(client),
    request: JSON.parse(String(request)),
    count: Number(count),
    done: Number(done),
    bytes: Number(bytes),
    model: String(model),
    state: state as JobState,
    ...problem === null ? {} : { problem: JSON.parse(String(problem)) },
    ...row.webhook_url === null ? {} : { webhook: webhookFrom(row) },
    created: Number(created),
    ...started === null ? {} : { started: Number(started) },
    ...ended === null ? {} : { ended: Number(ended) },
  };
}

function webhookFrom(row: Record<string, unknown>): StoredWebhook {
  return {
    url: String(row.webhook_url),
    secret: String(row.webhook_secret),
    state: row.webhook_state as StoredWebhook["state"],
    ...row.webhook_due === null ? {} : { due: Number(row.webhook_due) },
    attempts: JSON.parse(String(row.webhook_attempts)),
  };
}
