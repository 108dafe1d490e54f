/**
 * GPU worker. In Deno every wait for the device blocks its thread until the queue is empty, so the GPU has a thread of its
 * own and HTTP stays responsive.
 *
 * `DENO_WEBGPU_BACKEND` must be set when the process starts, since the worker has no permission to set it.
 *
 * @module
 */
import { OutOfMemory } from "../../lib/gpu/budget.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import type { TuningProgress } from "../../lib/tuning/tuning.ts";
import { type Command, errorRecord, modelRecord, type Report, type SentPicture } from "./protocol.ts";
import { Serving, type ServingOptions } from "./serving.ts";
import { TurnOrder } from "./turn_order.ts";

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

/** Options of all models. */
type LoadOptions = Omit<ServingOptions, "path" | "name" | "guide" | "sparing">;

/** A model on the device, or one that was. */
interface Slot {
  current: Serving | undefined;
  /** Replaced models that still have unfinished images, and those that are to leave the device. */
  readonly retiring: Serving[];
}

/** Executes commands of the main thread until the device fails. */
class Host {
  readonly #gpu: Gpu;
  readonly #options: LoadOptions;
  /** By name. */
  readonly #slots = new Map<string, Slot>();
  /** Loaded models by request number, until `swap`. */
  readonly #standby = new Map<number, Serving>();
  readonly #order = new TurnOrder();
  /** Serializes loads, so that at most one takes memory at a time. */
  #loading: Promise<void> = Promise.resolve();
  #closed = Promise.withResolvers<void>();
  #wake: () => void = () => {};
  #proceed: () => void = () => {};

  constructor(gpu: Gpu, options: LoadOptions, name: string, serving: Serving) {
    this.#gpu = gpu;
    this.#options = options;
    this.#slot(name).current = serving;
  }

  /** Executes a command; loading continues in the background. */
  receive(command: Exclude<Command, { type: "start" }>): void {
    switch (command.type) {
      case "add":
        try {
          this.#slot(command.model).current!.add(command.image); // the main thread knows that it is there
        } catch (error) {
          scope.postMessage({ type: "failed", id: command.image.id, error: errorRecord(error) });
        }
        break;
      case "park":
        try {
          for (const { batch } of this.#servings()) batch.park(command.id);
        } catch (error) {
          if (!(error instanceof OutOfMemory)) throw error;
          for (const { batch } of this.#servings()) batch.remove(command.id);
          scope.postMessage({ type: "failed", id: command.id, error: errorRecord(error) });
        }
        break;
      case "remove":
      case "resume":
        for (const { batch } of this.#servings()) batch[command.type](command.id);
        break;
      case "proceed":
        this.#proceed();
        break;
      case "share":
        this.#order.setWeight(command.model, command.weight);
        break;
      case "describe":
        this.#describe(command);
        break;
      case "load":
        this.#loading = this.#loading.then(() => this.#load(command));
        break;
      case "swap": {
        const slot = this.#slot(command.model);
        if (slot.current) slot.retiring.push(slot.current);
        slot.current = this.#standby.get(command.request)!;
        this.#standby.delete(command.request);
        break;
      }
      case "unload":
        this.#retire(command.model);
        break;
    }
    this.#wake();
  }

  #slot(name: string): Slot {
    let slot = this.#slots.get(name);
    if (!slot) this.#slots.set(name, slot = { current: undefined, retiring: [] });
    return slot;
  }

  #servings(): Serving[] {
    return [...this.#slots.values()].flatMap(servingsOf);
  }

  /** Runs turns until the device fails; sleeps while every batch is empty. */
  async run(): Promise<never> {
    while (true) {
      const busy = [...this.#slots].filter(([, slot]) => servingsOf(slot).some(hasImages));
      const name = this.#order.next(busy.map(([name]) => name));
      if (name === undefined) {
        // Without anything to free no command can have come since.
        if (!await this.#free()) await new Promise<void>((resolve) => this.#wake = resolve);
        continue;
      }
      let seconds = 0;
      for (const serving of servingsOf(this.#slot(name))) {
        if (hasImages(serving)) seconds += await this.#turn(name, serving);
      }
      this.#order.charge(name, seconds);
      await this.#free();
    }
  }

  /**
   * Frees models that are no longer needed; a batch cannot be freed during its turn.
   *
   * @returns false if there was none
   */
  async #free(): Promise<boolean> {
    let freed = false;
    for (const { retiring } of this.#slots.values()) {
      for (const serving of retiring.filter(({ batch }) => batch.size + batch.parked === 0)) {
        retiring.splice(retiring.indexOf(serving), 1);
        await serving.close();
        this.#closed.resolve();
        this.#closed = Promise.withResolvers();
        freed = true;
      }
    }
    return freed;
  }

  /** Takes a model off the device; later loads wait until its memory is free. */
  #retire(name: string): void {
    const slot = this.#slot(name);
    const serving = slot.current;
    if (!serving) return;
    slot.current = undefined;
    slot.retiring.push(serving);
    this.#loading = this.#loading.then(async () => {
      while (slot.retiring.includes(serving)) await this.#closed.promise;
    });
  }

  /** @returns its seconds on the device */
  async #turn(model: string, serving: Serving): Promise<number> {
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
    const report = {
      type: "turn" as const,
      model,
      turn,
      frames: sent(frames),
      images: sent(finished),
      failed,
    };
    const buffers = [...report.frames, ...report.images].map(({ pixels }) => pixels.buffer);
    const proceeding = this.#untilProceed();
    scope.postMessage(report, buffers);
    await proceeding;
    return turn.seconds;
  }

  /** Waits for `proceed`: messages arrive in order, so images added or removed after the last turn are known by then. */
  async #untilProceed(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, PATIENCE);
    this.#proceed = resolve;
    await promise;
    clearTimeout(timer);
  }

  async #load({ request, model }: Extract<Command, { type: "load" }>): Promise<void> {
    // Beside other models it has to fit as it is: rather one of them leaves the device.
    const sparing = this.#slot(model.name).current !== undefined || this.#servings().length === 0;
    try {
      const serving = await Serving.open(this.#gpu, { ...this.#options, ...model, sparing });
      this.#standby.set(request, serving);
      const { facts, bytes } = serving;
      scope.postMessage({ type: "loaded", request, model: modelRecord(facts), bytes });
    } catch (error) {
      scope.postMessage({ type: "loadFailed", request, error: errorRecord(error) });
    }
  }

  async #describe({ request, model }: Extract<Command, { type: "describe" }>): Promise<void> {
    try {
      // Loading it warns.
      const facts = await Serving.describe(this.#gpu, { ...this.#options, ...model, onWarning: () => {} });
      scope.postMessage({ type: "described", request, model: modelRecord(facts) });
    } catch (error) {
      scope.postMessage({ type: "loadFailed", request, error: errorRecord(error) });
    }
  }
}

function servingsOf({ current, retiring }: Slot): Serving[] {
  return current ? [...retiring, current] : [...retiring];
}

function hasImages({ batch }: Serving): boolean {
  return batch.size > 0;
}

function warn(message: string): void {
  scope.postMessage({ type: "warning", message });
}

function fail(error: unknown): void {
  scope.postMessage({ type: "fatal", error: errorRecord(error) });
}

async function start(
  { type: _, model, backend, memory, ...settings }: Extract<Command, { type: "start" }>,
): Promise<void> {
  const gpu = await openGpu({
    ...backend,
    memoryBudget: memory ??
      ((software) => software ? MEMORY_SHARE * Deno.systemMemoryInfo().available : Infinity),
    onFault: fail,
  });
  const options = {
    ...settings,
    onWarning: warn,
    onTuning: (progress: TuningProgress) => scope.postMessage({ type: "tuning", progress }),
  };
  const serving = await Serving.open(gpu, { ...options, ...model });
  const host = new Host(gpu, options, model.name, serving);
  scope.onmessage = ({ data }) => host.receive(data as Exclude<Command, { type: "start" }>);
  const { facts, bytes } = serving;
  scope.postMessage({ type: "ready", model: modelRecord(facts), bytes, memory: gpu.memory.limit });
  await host.run();
}

scope.onmessage = ({ data }) => void start(data as Extract<Command, { type: "start" }>).catch(fail);
