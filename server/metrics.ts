/**
 * Prometheus metrics.
 *
 * @module
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import configuration from "../deno.json" with { type: "json" };
import type { PictureFormat } from "./pictures/encoder.ts";
import type { Engine, ServedModel } from "./engine/engine.ts";
import type { JobRunner, LoadState } from "./queue/job.ts";

/** Version of the package. */
export const version: string = configuration.version;

/** An answered request. */
export interface AnsweredRequest {
  readonly method: string;
  /** Pattern of the route, not the path, so that the number of label values is bounded. */
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
  /** Name of its API key; undefined without. */
  readonly key?: string;
}

const webhookOutcomes = ["delivered", "failed", "retried"] as const;
const methods = new Set(["GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"]);
const requestSeconds = [0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const stepSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const pictureSeconds = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 20];
const occupancy = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1];

/** Server metrics. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = this.#counter("requests_total", "Requests answered", ["method", "route", "status"]);
  readonly #requestSeconds = this.#histogram(
    "request_seconds",
    "Seconds until the response started",
    requestSeconds,
    ["route"],
  );
  readonly #errors = this.#counter("errors_total", "Failed requests, by problem code", ["code"]);
  readonly #keyRequests = this.#counter(
    "key_requests_total",
    "Requests answered, by API key",
    ["key", "status"],
  );
  readonly #keyEvaluations = this.#counter(
    "key_evaluations_total",
    "Network evaluations of finished requests, images x steps and twice that with guidance, by API key",
    ["key"],
  );
  readonly #previewSeconds = this.#histogram(
    "first_preview_seconds",
    "Seconds from a streaming request to its first preview",
    requestSeconds,
    ["model"],
  );
  readonly #waitSeconds = this.#histogram(
    "queue_seconds",
    "Seconds in the queue until a request's first image joined the batch",
    requestSeconds,
    ["model"],
  );
  readonly #encodeSeconds = this.#histogram(
    "encode_seconds",
    "Seconds to encode a request's pictures, including the encoder's queue",
    pictureSeconds,
    ["format"],
  );
  readonly #decodeSeconds = this.#histogram(
    "decode_seconds",
    "Seconds to decode a request's pictures, including the decoder's queue",
    pictureSeconds,
  );
  readonly #images = this.#counter("images_total", "Images drawn", ["model"]);
  readonly #imagesFailed = this.#counter("images_failed_total", "Images that failed", ["model"]);
  readonly #steps = this.#counter("steps_total", "Steps of the batch", ["model"]);
  readonly #stepSeconds = this.#histogram(
    "step_seconds",
    "Seconds per step of the batch",
    stepSeconds,
    ["model"],
  );
  readonly #occupancy = this.#histogram(
    "batch_occupancy",
    "Fraction of the program's rows in use, per turn of the batch",
    occupancy,
    ["model"],
  );
  readonly #jobStorageFailures = this.#counter(
    "job_storage_failures_total",
    "Writes to the jobs' database that failed; they are tried again",
  );
  readonly #webhookAttempts = this.#counter(
    "webhook_attempts_total",
    "Attempts to deliver webhooks: delivered, failed (given up), or failed and to be retried",
    ["outcome"],
  );
  readonly #up = this.#gauge("engine_up", "1 while the engine is ready, 0 while it is down or starting");
  readonly #downs = this.#counter("engine_downs_total", "Failures of the engine");
  readonly #model = this.#gauge("model_info", "Served models by name, their present ids, and their adapter", [
    "model",
    "id",
    "adapter",
  ]);
  readonly #onDevice = this.#gauge("model_on_device", "1 while the model is in the device's memory", [
    "model",
  ]);
  readonly #loads = this.#counter("model_loads_total", "Loads of models onto the device, by outcome", [
    "model",
    "outcome",
  ]);
  readonly #evictions = this.#counter(
    "model_evictions_total",
    "Times that a model has left the device to make room for another",
    ["model"],
  );

  constructor() {
    const build = this.#gauge("build_info", "Versions of the server and of Deno", ["version", "deno"]);
    build.set({ version, deno: Deno.version.deno }, 1);
    // Alerts are raised by the increase of these; Prometheus sees none in a series that begins with 1.
    this.#errors.inc({ code: "internal" }, 0);
    for (const outcome of webhookOutcomes) this.#webhookAttempts.inc({ outcome }, 0);
    new Gauge({
      name: "process_resident_memory_bytes",
      help: "Resident memory of the process",
      registers: [this.#registry],
      collect() {
        this.set(Deno.memoryUsage().rss);
      },
    });
  }

  /** MIME type of {@linkcode Metrics.text}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics, in Prometheus' text format. */
  async text(): Promise<string> {
    return await this.#registry.metrics();
  }

  /** Registers gauges that read the load of `runner` when collected. */
  watch(runner: Pick<JobRunner, "state" | "models">): void {
    const gauge = (name: string, help: string, of: keyof LoadState) =>
      this.#gauge(name, help, ["model"], (gauge) => {
        for (const [model, state] of runner.models) gauge.set({ model }, state[of]);
      });
    gauge("queue_depth", "Waiting requests", "waiting");
    gauge("requests_running", "Requests in progress", "running");
    gauge("batch_images", "Images in the batch", "images");
    gauge("batch_rows", "Network rows in use", "rows");
    gauge("parked_images", "Parked images", "parked");
    this.#gauge("draining", "1 while the server is shutting down", [], (gauge) => {
      gauge.set(Number(runner.state.draining));
    });
  }

  answered({ method, route, status, seconds, key }: AnsweredRequest): void {
    if (key !== undefined) this.#keyRequests.inc({ key, status: String(status) });
    this.#requests.inc({ method: methods.has(method) ? method : "other", route, status: String(status) });
    this.#requestSeconds.observe({ route }, seconds);
  }

  /** @param code problem code, such as `queue_full` */
  failed(code: string): void {
    this.#errors.inc({ code });
  }

  /** Registers gauges of jobs that read their number by state and their images' bytes when collected. */
  watchJobs(counts: () => Readonly<Record<string, number>>, bytes: () => number): void {
    this.#gauge("jobs", "Stored jobs, by state", ["state"], (gauge) => {
      for (const [state, count] of Object.entries(counts())) gauge.set({ state }, count);
    });
    this.#gauge(
      "job_storage_bytes",
      "Images of jobs, and pictures given for unfinished ones",
      [],
      (gauge) => gauge.set(bytes()),
    );
  }

  /**
   * A request for images has been drawn.
   *
   * @param model its name, as below
   * @param waited seconds in the queue
   * @param evaluations of the network
   * @param key name of its API key; undefined without
   */
  drawn(model: string, waited: number, evaluations: number, key?: string): void {
    this.#waitSeconds.observe({ model }, waited);
    if (key !== undefined) this.#keyEvaluations.inc({ key }, evaluations);
  }

  /** Forgets API keys other than these, so that the number of series stays bounded. */
  async keepKeys(names: readonly string[]): Promise<void> {
    for (const counter of [this.#keyRequests, this.#keyEvaluations]) {
      for (const { labels } of (await counter.get()).values) {
        if (!names.includes(String(labels.key))) counter.remove(labels);
      }
    }
  }

  firstPreview(model: string, seconds: number): void {
    this.#previewSeconds.observe({ model }, seconds);
  }

  encoded(format: PictureFormat, seconds: number): void {
    this.#encodeSeconds.observe({ format }, seconds);
  }

  decoded(seconds: number): void {
    this.#decodeSeconds.observe(seconds);
  }

  /** A write to the jobs' database has failed. */
  jobStorageFailed(): void {
    this.#jobStorageFailures.inc();
  }

  /** An attempt to deliver a webhook has ended. */
  webhookAttempted(outcome: typeof webhookOutcomes[number]): void {
    this.#webhookAttempts.inc({ outcome });
  }

  /** The engine has failed, or is ready. */
  engine(state: "down" | "ready"): void {
    this.#up.set(state === "ready" ? 1 : 0);
    if (state === "down") this.#downs.inc();
  }

  /** A model could not be loaded. */
  loadFailed(model: string): void {
    this.#loads.inc({ model, outcome: "failed" });
  }

  /** A model has left the device to make room for another. */
  evicted(model: string): void {
    this.#evictions.inc({ model });
  }

  /** Counts the events of a model from now on. To be called before the scheduler listens, so that metrics see events first. */
  watchModel(engine: Pick<Engine, "name" | "model" | "ready" | "listen">): void {
    const { name: model } = engine;
    let known: ServedModel | undefined;
    const know = (facts: ServedModel) => {
      if (known) this.#model.remove({ model, id: known.id, adapter: known.adapter });
      known = facts;
      this.#model.set({ model, id: facts.id, adapter: facts.adapter }, 1);
    };
    if (engine.model) know(engine.model);
    this.#onDevice.set({ model }, Number(engine.ready));
    this.#loads.inc({ model, outcome: "loaded" }, Number(engine.ready));
    this.#loads.inc({ model, outcome: "failed" }, 0);
    for (const counter of [this.#images, this.#imagesFailed, this.#steps, this.#evictions]) {
      counter.inc({ model }, 0); // so that rates are known from the first event on
    }
    engine.listen({
      onTurn: ({ steps, seconds, rows, programRows }) => {
        this.#steps.inc({ model }, steps);
        for (let i = 0; i < steps; i++) this.#stepSeconds.observe({ model }, seconds / steps);
        this.#occupancy.observe({ model }, rows / programRows);
      },
      onImage: () => this.#images.inc({ model }),
      onFailed: () => this.#imagesFailed.inc({ model }),
      onUp: (facts) => {
        know(facts);
        this.#onDevice.set({ model }, 1);
        this.#loads.inc({ model, outcome: "loaded" });
      },
      onDescribed: know,
      onOff: () => this.#onDevice.set({ model }, 0),
      onDown: () => this.#onDevice.set({ model }, 0),
    });
  }

  #counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name: `denoise_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge(
    name: string,
    help: string,
    labelNames: string[] = [],
    collect?: (gauge: Gauge) => void,
  ): Gauge {
    return new Gauge({
      name: `denoise_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      ...(collect
        ? {
          collect(this: Gauge) {
            collect(this);
          },
        }
        : {}),
    });
  }

  #histogram(name: string, help: string, buckets: number[], labelNames: string[] = []): Histogram {
    return new Histogram({ name: `denoise_${name}`, help, buckets, labelNames, registers: [this.#registry] });
  }
}
