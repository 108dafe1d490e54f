/**
 * The worker that owns the GPU. Every wait for a device blocks the thread that waits (in Deno, until all work is done),
 * so the thread that answers requests must not be the one.
 *
 * The process is started with `DENO_WEBGPU_BACKEND` as it should be: a worker may not read or change the environment.
 *
 * @module
 */
import { type Gpu, openGpu } from "../../lib/gpu/device.ts";
import type { TuningProgress } from "../../lib/tuning/tuning.ts";
import { type Command, errorRecord, modelRecord, type Report, type SentPicture } from "./protocol.ts";
import { Serving, type ServingOptions } from "./serving.ts";

/** Share of the machine's free memory that a software adapter may take. */
const MEMORY_SHARE = 0.75;
/** Milliseconds of a turn of the batch: waiting for the device costs 10, joining is possible between turns alone. */
const TURN = 100;
/** Milliseconds that a turn waits, at most, for the main thread to send what follows from the one before. */
const PATIENCE = 20;

/** This worker as seen from within, as far as it is needed. */
interface Scope {
  onmessage: ((event: MessageEvent<Command>) => void) | null;
  postMessage(report: Report, transfer?: Transferable[]): void;
}
const scope = globalThis as unknown as Scope;

/** Draws what it is told, until the device fails. */
class Host {
  readonly #gpu: Gpu;
  readonly #options: Omit<ServingOptions, "path">;
  #current: Serving;
  /** Models that have been replaced, until their last image is finished. */
  #retiring: Serving[] = [];
  /** Models that were loaded for a request, until they are to take over. */
  readonly #standby = new Map<number, Serving>();
  /** Ends with the load before, so that two never take memory at once. */
  #loading: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #proceed: () => void = () => {};

  constructor(gpu: Gpu, options: Omit<ServingOptions, "path">, serving: Serving) {
    this.#gpu = gpu;
    this.#options = options;
    this.#current = serving;
  }

  /** Does what a command says, or begins to. */
  receive(command: Exclude<Command, { type: "start" }>): void {
    switch (command.type) {
      case "add":
        try {
          this.#current.add(command.image);
        } catch (error) {
          scope.postMessage({ type: "failed", id: command.image.id, error: errorRecord(error) });
        }
        break;
      case "remove":
      case "park":
      case "resume":
        for (const { batch } of [this.#current, ...this.#retiring]) batch[command.type](command.id);
        break;
      case "proceed":
        this.#proceed();
        break;
      case "load":
        this.#loading = this.#loading.then(() => this.#load(command.request, command.path));
        break;
      case "swap":
        this.#retiring.push(this.#current);
        this.#current = this.#standby.get(command.request)!;
        this.#standby.delete(command.request);
        break;
    }
    this.#wake();
  }

  /** Takes turns for ever, sleeping while there is nothing to draw. */
  async run(): Promise<never> {
    while (true) {
      for (const serving of [...this.#retiring, this.#current]) {
        if (serving.batch.size > 0) await this.#turn(serving);
      }
      // Here, because a batch cannot be freed in the middle of its turn.
      for (const serving of this.#retiring.filter(({ batch }) => batch.size + batch.parked === 0)) {
        this.#retiring.splice(this.#retiring.indexOf(serving), 1);
        await serving.close();
      }
      const idle = [...this.#retiring, this.#current].every(({ batch }) => batch.size === 0);
      if (idle) await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async #turn(serving: Serving): Promise<void> {
    const { frames, finished, ...turn } = await serving.batch.turn(TURN);
    const failed: { id: number; error: ReturnType<typeof errorRecord> }[] = [];
    const sent = (pictures: typeof frames): SentPicture[] =>
      pictures.flatMap(({ id, step, data }) => {
        try {
          return [{ id, step, pixels: serving.pixels(data) }];
        } catch (error) {
          // What is not finite now never will be.
          serving.batch.remove(id);
          failed.push({ id, error: errorRecord(error) });
          return [];
        }
      });
    const report = { type: "turn" as const, turn, frames: sent(frames), images: sent(finished), failed };
    const buffers = [...report.frames, ...report.images].map(({ pixels }) => pixels.buffer);
    const proceeding = this.#untilProceed();
    scope.postMessage(report, buffers);
    await proceeding;
  }

  /** The main thread's answer to a turn tells that whatever it sent before is here: who joins, and who is gone. */
  async #untilProceed(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, PATIENCE);
    this.#proceed = resolve;
    await promise;
    clearTimeout(timer);
  }

  async #load(request: number, path: string): Promise<void> {
    try {
      const serving = await Serving.open(this.#gpu, { ...this.#options, path });
      this.#standby.set(request, serving);
      scope.postMessage({ type: "loaded", request, model: modelRecord(serving.facts) });
    } catch (error) {
      scope.postMessage({ type: "loadFailed", request, error: errorRecord(error) });
    }
  }
}

function warn(message: string): void {
  scope.postMessage({ type: "warning", message });
}

function fail(error: unknown): void {
  scope.postMessage({ type: "fatal", error: errorRecord(error) });
}

async function start(
  { path, rows, defaults, precision, tune }: Extract<Command, { type: "start" }>,
): Promise<void> {
  const gpu = await openGpu({
    memoryBudget: (software) => software ? MEMORY_SHARE * Deno.systemMemoryInfo().available : Infinity,
    onFault: fail,
  });
  const options = {
    rows,
    defaults,
    precision,
    tune,
    onWarning: warn,
    onTuning: (progress: TuningProgress) => scope.postMessage({ type: "tuning", progress }),
  };
  const serving = await Serving.open(gpu, { ...options, path });
  const host = new Host(gpu, options, serving);
  scope.onmessage = ({ data }) => host.receive(data as Exclude<Command, { type: "start" }>);
  scope.postMessage({ type: "ready", model: modelRecord(serving.facts) });
  await host.run();
}

scope.onmessage = ({ data }) => void start(data as Extract<Command, { type: "start" }>).catch(fail);
