/**
 * Load test of the sampling server with continuous batching and without, and its memory over many requests.
 *
 * @module
 */
import { counted } from "../lib/counted.ts";
import { basename } from "node:path";
import { defaultSettings, type ServerSettings } from "../server/settings.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import type { Reporter } from "../terminal/progress.ts";
import { describeEnvironment, type Environment } from "./environment.ts";
import { type LoadResult, mergeLoads, percentile, runLoad } from "./serve_load.ts";
import { type MemorySample, memorySlope, residentMebibytes } from "./serve_memory.ts";
import type { LoadRow, Quantiles, ServeReport } from "./serve_report.ts";
import { type MeasuredServer, startMeasuredServer } from "./serve_server.ts";

/** Options of {@linkcode runServeBench}. */
export interface ServeBenchOptions {
  /** Model directory. */
  readonly model: string;
  /** Numbers of concurrent clients, a row each. */
  readonly clients: readonly number[];
  /** Seconds during which clients begin requests, per row and server. */
  readonly seconds: number;
  /** Sampling steps per image. */
  readonly steps: number;
  /** Batch size of the batching server, in network rows. */
  readonly maxBatch: number;
  /** Requests during which memory is sampled; 0 for none. */
  readonly requests: number;
  readonly quick: boolean;
  /** Dawn, which both servers run on; undefined: Deno's WebGPU. */
  readonly dawn?: ServerSettings["dawn"];
}

/** Request timeout, seconds. */
const TIMEOUT = 300;
/** Longest estimated wait for the last responses of a row, one per client, seconds. */
const LONGEST_TAIL = 180;
/** Longest memory measurement, seconds. */
const LONGEST_WATCH = 900;
/** Sampling steps of requests whose speed does not matter: warm-up and memory. */
const FEW_STEPS = 2;
const MEMORY_CLIENTS = 8;
const MEMORY_SAMPLES = 40;

/** Two servers that differ only in batch size. */
interface Servers {
  readonly batching: MeasuredServer;
  readonly oneAtATime: MeasuredServer;
}

/** Starts both servers, measures them and stops them. */
export async function runServeBench(options: ServeBenchOptions, reporter: Reporter): Promise<ServeReport> {
  const { model, clients, steps, maxBatch, quick, dawn } = options;
  const environment = await describeMachine();
  const settings: ServerSettings = {
    ...defaultSettings,
    models: [{ name: basename(model), path: model }],
    port: 0,
    maxBatch,
    queue: Math.max(...clients, MEMORY_CLIENTS),
    timeout: TIMEOUT,
    dawn,
  };
  reporter.start(2, "starting two servers");
  const batching = await startMeasuredServer(settings);
  try {
    const guided = batching.classes > 0;
    const rows = { batching: maxBatch, oneAtATime: guided ? 2 : 1 };
    const guidance = guided ? 2 : 1;
    const report: ServeReport = {
      version: 1,
      environment,
      model: batching.model,
      ...{ steps, guidance, rows, quick },
      load: [],
      skipped: [],
    };
    reporter.update(1);
    const oneAtATime = await startMeasuredServer({ ...settings, maxBatch: rows.oneAtATime });
    try {
      await new ServeBench({ batching, oneAtATime }, options, reporter, report).run();
    } finally {
      await oneAtATime.stop();
    }
    return report;
  } finally {
    reporter.stop();
    await batching.stop();
  }
}

async function describeMachine(): Promise<Environment> {
  const gpu = await openTaskGpu();
  const environment = describeEnvironment(gpu);
  gpu.close();
  return environment;
}

class ServeBench {
  #seed = 0;

  constructor(
    readonly servers: Servers,
    readonly options: ServeBenchOptions,
    readonly reporter: Reporter,
    readonly report: ServeReport,
  ) {}

  async run(): Promise<void> {
    this.reporter.start(1, "warming up");
    // Warm-up: compiles the pipelines of a single image, so that the next request can be timed.
    await this.#burst(this.servers.oneAtATime, 1, FEW_STEPS);
    const image = (await this.#burst(this.servers.oneAtATime, 1, this.options.steps)).seconds;
    for (const clients of this.options.clients) {
      if (clients * image <= LONGEST_TAIL) await this.#rows(clients);
      else {
        const reason = `one at a time, responses to all clients would take ${Math.round(clients * image)} s`;
        this.report.skipped.push({ name: `${clients} clients`, reason });
      }
    }
    if (this.options.requests > 0) await this.#memory();
  }

  /** Measures the servers alternately, so that other load on the machine affects both alike. */
  async #rows(clients: number): Promise<void> {
    const { batching, oneAtATime } = this.servers;
    this.reporter.start(1, `${clients} clients, warming up`);
    for (const server of [batching, oneAtATime]) await this.#burst(server, clients, FEW_STEPS);
    const turns = this.options.quick ? [batching, oneAtATime] : [batching, oneAtATime, oneAtATime, batching];
    const results = new Map<MeasuredServer, LoadResult[]>([[batching, []], [oneAtATime, []]]);
    const seconds = this.options.seconds * 2 / turns.length;
    this.reporter.start(Math.ceil(turns.length * seconds), counted(clients, "client"));
    for (const [turn, server] of turns.entries()) {
      const what = server === batching ? "batching" : "one at a time";
      const result = await runLoad({
        url: server.url,
        clients,
        path: () => this.#path(this.options.steps),
        // At least one request per client, however slow the server.
        more: (begun, elapsed) => begun < clients || elapsed < seconds,
        onAnswer: (answers, elapsed) => {
          const done = turn * seconds + Math.min(elapsed, seconds);
          this.reporter.update(Math.floor(done), { now: what, images: answers });
        },
        timeout: TIMEOUT,
      });
      results.get(server)!.push(result);
    }
    for (const [server, loads] of results) {
      this.report.load.push(loadRow(clients, server === batching, mergeLoads(loads)));
    }
  }

  async #memory(): Promise<void> {
    const { requests } = this.options;
    const { url } = this.servers.batching;
    const samples: MemorySample[] = [];
    const sampling: Promise<void>[] = [];
    const sample = async (answers: number) => {
      samples.push({ requests: answers, mebibytes: await residentMebibytes(url) });
    };
    const every = Math.max(1, Math.floor(requests / MEMORY_SAMPLES));
    this.reporter.start(requests, "memory");
    await sample(0);
    const { latencies, failures, seconds } = await runLoad({
      url,
      clients: MEMORY_CLIENTS,
      path: () => this.#path(FEW_STEPS),
      more: (begun, elapsed) => begun < requests && elapsed < LONGEST_WATCH,
      onAnswer: (answers) => {
        if (answers % every === 0) sampling.push(sample(answers));
        this.reporter.update(answers);
      },
      timeout: TIMEOUT,
    });
    await Promise.all(sampling);
    const counts = { requests: latencies.length, clients: MEMORY_CLIENTS, steps: FEW_STEPS, failures };
    this.report.memory = { ...counts, seconds, samples, slope: memorySlope(samples) };
  }

  /** One request per client. */
  #burst(server: MeasuredServer, clients: number, steps: number): Promise<LoadResult> {
    const more = (begun: number) => begun < clients;
    return runLoad({ url: server.url, clients, path: () => this.#path(steps), more, timeout: TIMEOUT });
  }

  /** Path of a request with a new seed. */
  #path(steps: number): string {
    return `/generate?seed=${this.#seed++}&steps=${steps}&guidance=${this.report.guidance}`;
  }
}

function loadRow(clients: number, batching: boolean, result: LoadResult): LoadRow {
  const { latencies, health, failures, seconds } = result;
  return {
    clients,
    batching,
    images: latencies.length,
    seconds,
    imagesPerSecond: latencies.length / seconds,
    latencySeconds: quantiles(latencies),
    healthMilliseconds: quantiles(health.map((seconds) => 1000 * seconds)),
    failures,
  };
}

function quantiles(values: readonly number[]): Quantiles {
  const at = (share: number) => percentile(values, share);
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}
