/** A GPU engine on workers that a test controls. */
import assert from "node:assert/strict";
import type { Engine, EngineListener, ImageJob, ServedModel } from "../../../server/engine/engine.ts";
import { GpuEngine, type WorkerLike } from "../../../server/engine/gpu_engine.ts";
import { type Command, errorRecord, modelRecord, type Report } from "../../../server/engine/protocol.ts";
import { FakeClock } from "./fake_clock.ts";
import { fakeModel } from "./fake_engine.ts";

/** A worker that reports whatever a test tells it to. Messages are cloned, as between real threads. */
export class FakeGpuWorker implements WorkerLike {
  readonly commands: Command[] = [];
  terminated = false;
  readonly #listeners = new Map<string, (event: never) => void>();

  postMessage(command: Command): void {
    assert.ok(!this.terminated, "nothing is said to a worker that was ended");
    this.commands.push(structuredClone(command));
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners.set(type, listener);
  }

  terminate(): void {
    this.terminated = true;
  }

  report(report: Report): void {
    this.#dispatch("message", new MessageEvent("message", { data: structuredClone(report) }));
  }

  /** Dispatches an uncaught error; true if the engine handled it. */
  crash(message: string): boolean {
    const event = new ErrorEvent("error", { message, cancelable: true });
    this.#dispatch("error", event);
    return event.defaultPrevented;
  }

  garble(): void {
    this.#dispatch("messageerror", new MessageEvent("messageerror"));
  }

  ready(changes: Partial<ServedModel> = {}): void {
    this.report({ type: "ready", model: modelRecord(fakeModel(changes)), bytes: 100, memory: 1000 });
  }

  fatal(error: Error): void {
    this.report({ type: "fatal", error: errorRecord(error) });
  }

  /** Commands since the last call. */
  take(): Command[] {
    return this.commands.splice(0);
  }

  #dispatch(type: string, event: Event): void {
    this.#listeners.get(type)?.(event as never);
  }
}

/** First command to a worker, with default options. */
export const START_COMMAND = {
  type: "start",
  model: { name: "one", path: "/models/one" },
  variant: undefined,
  rows: 6,
  memory: undefined,
  defaults: {},
  backend: {},
  precision: undefined,
  tune: "auto",
} as const;

/** An engine on fake workers, and all that is told of it. */
export interface EngineBench {
  readonly device: GpuEngine;
  /** Its model. */
  readonly engine: Engine;
  readonly clock: FakeClock;
  readonly workers: FakeGpuWorker[];
  /** Events of the listener with their first argument, for an error its message. */
  readonly heard: unknown[][];
  readonly warnings: string[];
}

/** Starts an engine whose first worker is ready. */
export async function startEngine(): Promise<EngineBench> {
  const [clock, workers, warnings, heard]: [FakeClock, FakeGpuWorker[], string[], unknown[][]] = [
    new FakeClock(),
    [],
    [],
    [],
  ];
  const starting = GpuEngine.start({
    models: [{ name: "one", path: "/models/one" }],
    rows: 6,
    clock,
    startWorker() {
      workers.push(new FakeGpuWorker());
      return workers[workers.length - 1];
    },
    onWarning: (message) => warnings.push(message),
  });
  assert.deepEqual(workers[0].take(), [START_COMMAND]);
  workers[0].ready();
  const device = await starting;
  const [engine] = device.models;
  const listener: EngineListener = {
    onTurn: ({ steps }) => heard.push(["turn", steps]),
    onTurnEnd: () => heard.push(["turn end"]),
    onFrame: (id, step, pixels) => heard.push(["frame", id, step, pixels[0]]),
    onImage: (id, pixels) => heard.push(["image", id, pixels[0]]),
    onFailed: (id, error) => heard.push(["failed", id, `${error}`]),
    onDown: (error, retryAfter) => heard.push(["down", `${error}`, retryAfter]),
    onUp: ({ path }) => heard.push(["up", path]),
    onDescribed: ({ path }) => heard.push(["described", path]),
    onOff: () => heard.push(["off"]),
  };
  engine.listen(listener);
  return { device, engine, clock, workers, heard, warnings };
}

export function imageJob(id: number): ImageJob {
  return { id, label: 3, seed: id, sampler: "ddim", steps: 5, guidance: 2 };
}

export function turnReport(changes: Partial<Extract<Report, { type: "turn" }>> = {}): Report {
  const turn = { steps: 2, seconds: 0.1, rows: 2, programRows: 2, images: [1] };
  return { type: "turn", model: "one", turn, frames: [], images: [], failed: [], ...changes };
}

export function pictureReport(
  id: number,
  step: number,
): { id: number; step: number; pixels: Uint8Array<ArrayBuffer> } {
  return { id, step, pixels: Uint8Array.of(10 * id + step) };
}
