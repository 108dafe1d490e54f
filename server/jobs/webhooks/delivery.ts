/**
 * Delivery of webhooks: one message for the end of each job that asks for it, sent until it is accepted or too many attempts have
 * failed. What is due is stored, so that another process goes on with it; a message may arrive twice, with the same id.
 *
 * @module
 */
import { type Clock, systemClock } from "../../clock.ts";
import type { ServerContext } from "../../http/context.ts";
import type { JobStore, StoredJob, WebhookAttempt } from "../store.ts";
import { postWebhook, type WebhookAnswer } from "./post.ts";
import { signedHeaders } from "./signature.ts";
import { hostOf, parseWebhookHost, parseWebhookUrl, portOf, type WebhookHost } from "./target.ts";

/** Seconds before each further attempt: nine attempts in about ten hours. */
const PAUSES = [5, 20, 80, 320, 1280, 5120, 14_400, 14_400];
/** Largest part of a pause that is added or taken away at random, so that many do not come at once. */
const JITTER = 0.25;
/** Longest seconds of a Retry-After that are heeded. */
const LONGEST_RETRY_AFTER = 14_400;
/** Seconds of an attempt. */
const ATTEMPT_SECONDS = 15;
/** Attempts at once, to one host and in all: a slow host must not keep others waiting. */
const AT_ONCE = { host: 2, all: 16 } as const;

/** Options of {@linkcode WebhookDelivery}. */
export interface WebhookDeliveryOptions {
  /** Describes a job, for the message. */
  readonly describe: (job: StoredJob) => unknown;
  readonly now: () => number;
  readonly clock?: Clock;
  /** Default {@linkcode Math.random}. */
  readonly random?: () => number;
}

/** Sends the webhooks of ended jobs. */
export class WebhookDelivery {
  readonly #store: JobStore;
  readonly #context: Pick<ServerContext, "settings" | "log" | "metrics">;
  readonly #options: WebhookDeliveryOptions;
  readonly #clock: Clock;
  readonly #hosts: readonly WebhookHost[];
  /** Jobs whose attempt is due, and those being sent, by job id. */
  readonly #due = new Map<string, StoredJob>();
  readonly #sending = new Map<string, string>();
  readonly #timers = new Map<string, () => void>();
  readonly #stop = new AbortController();

  constructor(
    store: JobStore,
    context: Pick<ServerContext, "settings" | "log" | "metrics">,
    options: WebhookDeliveryOptions,
  ) {
    this.#store = store;
    this.#context = context;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#hosts = (context.settings.webhookHosts ?? []).map((text) => parseWebhookHost(text)!); // checked at the start
    for (const job of store.pendingWebhooks()) this.add(job);
  }

  /** Hosts that webhooks may go to. */
  get hosts(): readonly WebhookHost[] {
    return this.#hosts;
  }

  /** Delivers the webhook of a job that has ended, if it has one. */
  add(job: StoredJob): void {
    const { id, webhook } = job;
    if (webhook?.state !== "pending") return;
    const wait = Math.max(0, (webhook.due ?? 0) - this.#options.now());
    const callOff = this.#clock.after(wait, () => {
      this.#timers.delete(id);
      this.#due.set(id, job);
      this.#sendDue();
    });
    this.#timers.set(id, callOff);
  }

  /** Stops sending; what is not delivered stays due. */
  close(): void {
    this.#stop.abort(new Error("the server is shutting down"));
    for (const callOff of this.#timers.values()) callOff();
    this.#due.clear();
  }

  #sendDue(): void {
    for (const [id, job] of this.#due) {
      if (this.#stop.signal.aborted || this.#sending.size >= AT_ONCE.all) return;
      const url = new URL(job.webhook!.url);
      const host = `${hostOf(url)}:${portOf(url)}`;
      const toHost = [...this.#sending.values()].filter((other) => other === host).length;
      if (toHost >= AT_ONCE.host) continue;
      this.#due.delete(id);
      this.#sending.set(id, host);
      this.#attempt(job).finally(() => {
        this.#sending.delete(id);
        this.#sendDue();
      });
    }
  }

  async #attempt(job: StoredJob): Promise<void> {
    const time = this.#options.now();
    let answer: WebhookAnswer | undefined;
    let error: string | undefined;
    try {
      answer = await this.#post(job, time);
    } catch (cause) {
      if (this.#stop.signal.aborted) return;
      error = (cause as Error).message;
    }
    if (this.#stop.signal.aborted) return;
    this.#record(
      job,
      { time, ...answer && { status: answer.status }, ...error && { error } },
      answer?.retryAfter,
    );
  }

  async #post(job: StoredJob, time: number): Promise<WebhookAnswer> {
    const { id, state, ended = time } = job;
    const { url: text, secret } = job.webhook!;
    const url = parseWebhookUrl(text, this.#hosts);
    if (!url) throw new Error("--webhook-hosts does not list this host any more");
    const body = JSON.stringify({
      type: `job.${state}`,
      timestamp: new Date(ended).toISOString(),
      data: this.#options.describe(job),
    });
    const late = new AbortController();
    const callOff = this.#clock.after(
      1000 * ATTEMPT_SECONDS,
      () => late.abort(new Error(`no answer within ${ATTEMPT_SECONDS} seconds`)),
    );
    try {
      return await postWebhook({
        url,
        headers: signedHeaders(secret, { id: `msg_${id}`, timestamp: Math.floor(time / 1000), body }),
        body,
        hosts: this.#hosts,
        signal: AbortSignal.any([late.signal, this.#stop.signal]),
      });
    } finally {
      callOff();
    }
  }

  #record(job: StoredJob, attempt: WebhookAttempt, retryAfter = 0): void {
    const { log, metrics } = this.#context;
    const { attempts } = job.webhook!;
    const { status = 0, error } = attempt;
    const isDelivered = status >= 200 && status < 300;
    const pause = PAUSES[attempts.length];
    // 410 Gone: the receiver wants no more
    const isOver = !isDelivered && (pause === undefined || status === 410);
    const { random = Math.random } = this.#options;
    const jittered = (pause ?? 0) * (1 + JITTER * (2 * random() - 1));
    const seconds = Math.max(jittered, Math.min(retryAfter, LONGEST_RETRY_AFTER));
    const state = isDelivered ? "delivered" : isOver ? "failed" : "pending";
    const webhook = {
      ...job.webhook!,
      state,
      attempts: [...attempts, attempt],
      due: state === "pending" ? this.#options.now() + Math.round(1000 * seconds) : undefined,
    } as const;
    metrics.webhookAttempted(state === "pending" ? "retried" : state);
    const { host } = new URL(webhook.url); // the rest of a URL may be secret
    const facts = { job: job.id, host, status: status || undefined, error, attempt: attempts.length + 1 };
    if (isDelivered) log.info("webhook delivered", facts);
    else {log.warn(isOver ? "webhook given up" : "webhook failed", {
        ...facts,
        retryAfter: isOver ? undefined : seconds,
      });}
    try {
      this.#store.updateWebhook(job, webhook);
    } catch (cause) {
      // Kept in memory; the next process would begin with the attempt before.
      metrics.jobStorageFailed();
      log.error("the state of a webhook cannot be stored", { job: job.id }, cause);
    }
    this.add({ ...job, webhook });
  }
}
