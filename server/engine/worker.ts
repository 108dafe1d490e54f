/**
 * GPU worker. In Deno every wait for the device blocks its thread until the queue is empty, so the GPU has a thread of its
 * own and HTTP stays responsive.
 *
 * `DENO_WEBGPU_BACKEND` must be set when the process starts, since the worker has no permission to set it.
 *
 * @module
 */
import type { Gpu } from "../../lib/gpu/device.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import type { TuningProgress } from "../../lib/tuning/tuning.ts";
import { type Command, errorRecord, modelRecord, type Report, type SentPicture } from "./protocol.ts";
import { Serving, type ServingOptions } from "./serving.ts";

/** Fraction of free system memory that a software adapter may use. */
const MEMORY_SHARE = 0.75;
/** Target duration of a turn in milliseconds: each has about 10 ms of overhead, but images join only between turns. */
const TURN = 100;
/** Longest wait for the main thread's `proceed` between turns, in milliseconds. */
const PATIENCE = 20;

/** The worker's global scope, which Deno's window types lack. */
interface Scope {
  onmessage: ((event: MessageEvent<Command>) => void) | null;
  postMessage(report: Report, transfer?: Transferable[]): void;
}
const scope = globalThis as unknown as Scope;

/** Executes commands of the main thread until the device fails. */
class Host {
  readonly #gpu: Gpu;
  readonly #options: Omit<ServingOptions, "path">;
  #current: Serving;
  /** Replaced models that still have unfinished images. */
  #retiring: Serving[] = [];
  /** Loaded models by request number, until `swap`. */
  readonly #standby = new Map<number, Serving>();
  /** Serializes loads, so that at most one takes memory at a time. */
  #loading: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #proceed: () => void = () => {};

  constructor(gpu: Gpu, options: Omit<ServingOptions, "path">, serving: Serving) {
    this.#gpu = gpu;
    this.#options = options;
    this.#current = serving;
  }

  /** Executes a command; loading continues in the background. */
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

  /** Runs turns until the device fails; sleeps while every batch is empty. */
  async run(): Promise<never> {
    while (true) {
      for (const serving of [...this.#retiring, this.#current]) {
        if (serving.batch.size > 0) await this.#turn(serving);
      }
      // A batch cannot be freed during its turn.
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
          // Non-finite values stay so in all later steps.
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

  /** Waits for `proceed`: messages arrive in order, so images added or removed after the last turn are known by then. */
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
  { type: _, path, backend, ...settings }: Extract<Command, { type: "start" }>,
): Promise<void> {
  const gpu = await openGpu({
    ...backend,
    memoryBudget: (software) => software ? MEMORY_SHARE * Deno.systemMemoryInfo().available : Infinity,
    onFault: fail,
  });
  const options = {
    ...settings,
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
