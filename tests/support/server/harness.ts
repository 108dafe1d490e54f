/** The whole application on a fake engine, without sockets, GPU or workers. */
import { type AppOptions, createApp } from "../../../server/app.ts";
import type { Clock } from "../../../server/clock.ts";
import type { ServerContext } from "../../../server/http/context.ts";
import { decodeEdit } from "../../../server/pictures/decoding.ts";
import { Jobs } from "../../../server/jobs/jobs.ts";
import { JobStore } from "../../../server/jobs/store.ts";
import { encodeFile } from "../../../server/pictures/encoding.ts";
import { JsonLog } from "../../../server/log.ts";
import { Metrics } from "../../../server/metrics.ts";
import type { App } from "../../../server/http/request.ts";
import { Scheduler } from "../../../server/queue/scheduler.ts";
import { defaultSettings, type ServerSettings } from "../../../server/settings.ts";
import { FakeEngine, type FakeEngineOptions } from "./fake_engine.ts";

/** Differences from a server with default settings and automatic steps. */
export interface HarnessOptions extends Omit<AppOptions, "jobs"> {
  readonly settings?: Partial<ServerSettings>;
  readonly engine?: FakeEngineOptions;
  /** Further models of the device. */
  readonly others?: readonly FakeEngineOptions[];
  /** Bytes of the device. Default: no limit. */
  readonly memory?: number;
  readonly token?: string;
  /** Replacements for parts of the context. */
  readonly parts?: Partial<ServerContext>;
  /** Clock of the scheduler and of jobs and, unless there is another, of the application. */
  readonly schedulerClock?: Clock;
  /** Time of jobs, milliseconds since 1970. */
  readonly now?: () => number;
}

/** An application with its parts and its log. */
export interface Harness {
  readonly app: App;
  readonly engine: FakeEngine;
  /** All models, that engine first. */
  readonly engines: readonly FakeEngine[];
  readonly context: ServerContext;
  /** With the setting `jobs`; to be closed by the test. */
  readonly jobs?: Jobs;
  /** Parsed log lines. */
  readonly log: Record<string, unknown>[];
  /** Requests a path, as a client with address 192.0.2.1. */
  readonly ask: (path: string, init?: RequestInit) => Promise<Response>;
}

/** Creates the application on a fake engine. */
export function harness(options: HarnessOptions = {}): Harness {
  const { settings, engine: engineOptions, others = [], memory = Infinity, token, parts, ...timed } = options;
  const { schedulerClock, now, ...appOptions } = timed;
  const engines = [engineOptions, ...others].map((one) => new FakeEngine({ automatic: 0, rows: 64, ...one }));
  const [engine] = engines;
  const taken = () => engines.reduce((sum, { ready, bytes = 0 }) => sum + (ready ? bytes : 0), 0);
  for (const one of engines) one.room = () => memory - taken();
  const device = { models: engines, memory, close: () => Promise.resolve() };
  const all: ServerSettings = {
    ...defaultSettings,
    models: [{ name: "fake-model", path: "/models/fake-model" }],
    steps: 4,
    ...settings,
  };
  const metrics = new Metrics();
  for (const one of engines) metrics.watchModel(one);
  metrics.engine("ready");
  const log: Record<string, unknown>[] = [];
  const context: ServerContext = {
    settings: all,
    device,
    runner: new Scheduler(device, all, schedulerClock),
    encoder: { encode: (pictures) => Promise.all(pictures.map(encodeFile)), close() {} },
    decoder: { decode: decodeEdit, close() {} },
    metrics,
    log: new JsonLog((line) => log.push(JSON.parse(line))),
    token,
    ...parts,
  };
  const jobs = all.jobs === undefined
    ? undefined
    : new Jobs(new JobStore(all.jobs), context, { clock: schedulerClock, now });
  const app = createApp(context, { clock: schedulerClock, jobs, ...appOptions });
  const env = { remoteAddr: { hostname: "192.0.2.1" } };
  return {
    app,
    engine,
    engines,
    context,
    jobs,
    log,
    ask: async (path, init) => await app.request(path, init, env),
  };
}

/** Members of a problem document (RFC 9457). */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  readonly retryAfter?: number;
  readonly errors?: { readonly field: string; readonly value?: unknown; readonly allowed: string }[];
}

/** Reads the problem document of a response. */
export async function problemOf(response: Response): Promise<Problem> {
  if (response.headers.get("Content-Type") !== "application/problem+json") {
    throw new Error(`not a problem: ${response.status} ${await response.text()}`);
  }
  const text = await response.text();
  if (!text.endsWith("}\n")) throw new Error(`a problem without a newline at its end: ${text}`);
  return JSON.parse(text);
}
