/**
 * Server process: creates the components and shuts them down in order. `deno task serve` starts it with minimal
 * permissions and the settings as one JSON argument.
 *
 * @module
 */
import { ConfigError, DenoiseError } from "../lib/errors.ts";
import type { BackendChoice } from "../lib/gpu/backend.ts";
import { mebibytes } from "../lib/gpu/budget.ts";
import { printable } from "../lib/shell.ts";
import { createApp } from "./app.ts";
import { parseSettings } from "./arguments.ts";
import { GpuEngine } from "./engine/gpu_engine.ts";
import { greeting, serverUrl } from "./greeting.ts";
import { keyIdOf } from "./http/authentication.ts";
import { listen } from "./http/listen.ts";
import { Jobs } from "./jobs/jobs.ts";
import { JobStore } from "./jobs/store.ts";
import { KeyRing } from "./keys/key_ring.ts";
import { JsonLog, type Log, logLine } from "./log.ts";
import { LogWriter } from "./log_writer.ts";
import { Metrics } from "./metrics.ts";
import { Scheduler } from "./queue/scheduler.ts";
import type { ServerSettings } from "./settings.ts";
import { createShutdown, listenForSignals } from "./shutdown.ts";
import { readToken } from "./token.ts";
import { WorkerDecoder } from "./pictures/worker_decoder.ts";
import { WorkerEncoder } from "./pictures/worker_encoder.ts";

/** Least seconds for clients to receive the last responses, even if drawing has used up `grace`. */
const LAST_ANSWERS = 3;
/** Timeout for flushing the log on exit, in milliseconds. */
const LAST_LINES = 500;

/** Deno's own WebGPU. */
const DENO: BackendChoice = { backend: "deno", toggles: [] };

/** A running server. */
interface RunningServer {
  /** Reloads the models; the outcome is logged. */
  reload(): void;
  /** Shuts down gracefully, after the jobs in progress. */
  finish(): Promise<void>;
}

async function serve(settings: ServerSettings, log: Log): Promise<RunningServer> {
  const token = settings.tokenFile === undefined
    ? undefined
    : await readToken(settings.tokenFile, (message) => log.warn(message));
  const keys = settings.keys === undefined ? undefined : await KeyRing.open(settings.keys, log);
  const jobStore = settings.jobs === undefined ? undefined : new JobStore(settings.jobs);
  const { server, use } = listen(settings, log);
  const url = serverUrl(server.addr);
  const { models } = settings;
  log.info("loading", { url, path: models[0]!.path, models: models.length }); // one at least
  const metrics = new Metrics();
  const device = await GpuEngine.start({
    models,
    variant: settings.variant,
    rows: settings.maxBatch,
    memory: settings.memory === undefined ? undefined : settings.memory * 2 ** 20,
    onDown: (error, retryAfter) => {
      metrics.engine("down");
      log.error("engine failed", { retryAfter }, error);
    },
    onReady: () => metrics.engine("ready"),
    onUnreadable: (model, error) => {
      metrics.loadFailed(model);
      log.error("a model cannot be read; it is tried again", { model }, error);
    },
    onWarning: (message) => log.warn(message),
    defaults: { sampler: settings.sampler, steps: settings.steps, guidance: settings.guidance },
    precision: settings.precision,
    backend: settings.dawn ? { backend: "dawn", toggles: settings.dawn.toggles } : DENO,
    tune: settings.tune,
    onTuning: ({ adapter, done, total, finished }) => {
      if (finished) log.info("kernels tuned", { tuned: done, of: total, ...finished });
      else if (done === 0) log.info("tuning kernels", { adapter, of: total });
    },
  });
  const [first] = device.models;
  const model = first!.model!; // was just loaded
  for (const engine of device.models) {
    metrics.watchModel(engine);
    engine.listen({ onUp: ({ id, path }) => log.info("serving", { model: id, path }) });
  }
  const runner = new Scheduler(device, settings, undefined, {
    onLoaded: (model, seconds, bytes) => {
      log.info("model loaded", { model, seconds: Number(seconds.toFixed(3)), memory: mebibytes(bytes) });
    },
    onEvicted: (model) => {
      metrics.evicted(model);
      log.info("model left the device", { model });
    },
    onLoadFailed: (model, error) => {
      metrics.loadFailed(model);
      log.error("a model cannot be loaded", { model }, error);
    },
  });
  const encoder = new WorkerEncoder();
  const decoder = new WorkerDecoder();
  const context = { settings, device, runner, encoder, decoder, metrics, log, token, keys };
  const jobs = jobStore && new Jobs(jobStore, context);
  if (keys) followKeys(keys, metrics, jobs);
  use(createApp(context, { jobs }).fetch);

  const { id, path, guide, adapter, precision, classes } = model;
  log.info("ready", { url, model: id, path, guide, adapter, precision, classes: classes.length });
  for (const line of greeting(url, model, settings)) printSafely(console.error, line);
  return {
    reload() {
      for (const engine of device.models) {
        engine.reload().then(
          ({ id, path }) => log.info("model reloaded", { model: id, path }),
          (error) => log.error("reload failed; still serving the old model", { model: engine.name }, error),
        );
      }
    },
    async finish() {
      const start = performance.now();
      jobs?.stop();
      await runner.drain(settings.grace);
      const left = settings.grace - (performance.now() - start) / 1000;
      await within(1000 * Math.max(LAST_ANSWERS, left), server.shutdown());
      jobs?.close();
      encoder.close();
      decoder.close();
      keys?.close();
      await device.close();
      log.info("stopped");
    },
  };
}

/** Ends what belongs to keys that were revoked, at once those that were while no server ran. */
function followKeys(keys: KeyRing, metrics: Metrics, jobs: Jobs | undefined): void {
  const cancelJobs = () =>
    jobs?.cancelOf((client) => {
      const id = keyIdOf(client);
      return id !== undefined && !keys.has(id);
    });
  cancelJobs();
  keys.listen(({ names }) => {
    cancelJobs();
    void metrics.keepKeys(names);
  });
}

/** Waits for a promise, with a timeout. */
async function within(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  const tooSlow = Promise.withResolvers<void>();
  const timer = setTimeout(tooSlow.resolve, milliseconds);
  await Promise.race([promise, tooSlow.promise]);
  clearTimeout(timer);
}

/** Prints a line; a closed terminal must not stop the server. */
function printSafely(print: (line: string) => void, line: string): void {
  try {
    print(line);
  } catch {
    // The terminal was closed.
  }
}

async function main([json, ...rest]: string[]): Promise<void> {
  const settings = parseSettings(json);
  const writer = new LogWriter(
    Deno.stdout,
    (lines) =>
      logLine(new Date(), "warn", "log lines dropped: the reader of standard output is too slow", { lines }),
  );
  const log = new JsonLog((line) => writer.write(line));
  let running: RunningServer | undefined = undefined;
  const shutdown = createShutdown({
    finish: async () => await running?.finish(),
    onSignal: (why, forced) => log.warn(forced ? "stopping at once" : "stopping", { why }),
    exit: (status) => void within(LAST_LINES, writer.flush()).then(() => Deno.exit(status)),
  });
  // Before loading the model: SIGHUP terminates a process without a listener.
  listenForSignals(shutdown, () => running?.reload());
  if (rest[0] === "until-input-ends") inputEnds().then(() => shutdown(undefined));
  running = await serve(settings, log);
}

async function inputEnds(): Promise<void> {
  try {
    for await (const _ of Deno.stdin.readable);
  } catch {
    // An unreadable input counts as ended.
  }
}

try {
  // An executable starts itself as its server, by a command.
  await main(Deno.build.standalone ? Deno.args.slice(1) : Deno.args);
} catch (error) {
  if (!(error instanceof DenoiseError)) throw error;
  console.error(printable(`error: ${error.message}`));
  Deno.exit(error instanceof ConfigError ? 2 : 1);
}
