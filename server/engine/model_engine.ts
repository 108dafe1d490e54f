/**
 * One model of a GPU engine, on the device or not.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { Engine, EngineListener, ImageJob, ServedModel } from "./engine.ts";
import type { ModelSettings } from "../settings.ts";

/** What a model needs of the engine that supervises the worker. */
export interface ModelHost {
  readonly rows: number;
  /** The worker is ready. */
  readonly up: boolean;
  add(model: ModelEngine, image: ImageJob): void;
  remove(id: number): void;
  park(id: number): void;
  resume(id: number): void;
  share(model: ModelEngine, weight: number): void;
  /** Loads the model, or reads it only, from `source`. */
  read(how: "load" | "describe", model: ModelEngine, source: ModelSettings): Promise<ServedModel>;
  unload(model: ModelEngine): void;
}

/** A model of a GPU engine. */
export class ModelEngine implements Engine {
  readonly rows: number;
  readonly #host: ModelHost;
  readonly #listeners: Partial<EngineListener>[] = [];
  #source: ModelSettings;
  #facts: ServedModel | undefined;
  #fault: Error | undefined;
  #resident = false;
  #bytes: number | undefined;

  constructor(host: ModelHost, source: ModelSettings) {
    this.#host = host;
    this.#source = source;
    this.rows = host.rows;
  }

  get name(): string {
    return this.#source.name;
  }

  /** Where it is read from. */
  get source(): ModelSettings {
    return this.#source;
  }

  get model(): ServedModel | undefined {
    return this.#host.up ? this.#facts : undefined;
  }

  get fault(): Error | undefined {
    return this.#fault;
  }

  get ready(): boolean {
    return this.#host.up && this.#resident;
  }

  get bytes(): number | undefined {
    return this.#bytes;
  }

  /** It was read at some time, by this worker or an earlier one. */
  get known(): boolean {
    return this.#facts !== undefined;
  }

  listen(listener: Partial<EngineListener>): void {
    this.#listeners.push(listener);
  }

  add(image: ImageJob): void {
    this.#host.add(this, image);
  }

  remove(id: number): void {
    this.#host.remove(id);
  }

  park(id: number): void {
    this.#host.park(id);
  }

  resume(id: number): void {
    this.#host.resume(id);
  }

  share(weight: number): void {
    this.#host.share(this, weight);
  }

  async load(): Promise<ServedModel> {
    return await this.#host.read("load", this, this.#source);
  }

  unload(): void {
    this.#host.unload(this);
    this.#resident = false;
    this.tell("onOff");
  }

  async reload(path: string = this.#source.path): Promise<ServedModel> {
    const how = this.ready ? "load" : "describe";
    return await this.#host.read(how, this, { ...this.#source, path });
  }

  /** It is on the device, and serves the images that are added from now on. */
  loaded(source: ModelSettings, facts: ServedModel, bytes: number): void {
    // Back on the device with the weights that it had, it draws the same images; a reload asks for another look.
    const isBack = !this.#resident && this.#facts !== undefined && isSame(this.#facts, facts);
    this.#resident = true;
    this.#bytes = bytes;
    this.#know(source, isBack ? this.#facts! : facts);
    this.tell("onUp", this.#facts!);
  }

  /** It was read, and is not on the device. */
  described(source: ModelSettings, facts: ServedModel): void {
    if (!this.#facts || !takesAsMuch(this.#facts, facts)) this.#bytes = undefined;
    this.#know(source, facts);
    this.tell("onDescribed", facts);
  }

  /** It cannot be read. */
  failed(error: Error): void {
    this.#fault = error;
  }

  /** The worker is gone. */
  down(error: Error, retryAfter: number): void {
    this.#resident = false;
    this.tell("onDown", error, retryAfter);
  }

  /** The worker is gone for good. */
  close(): void {
    this.#resident = false;
  }

  /** Tells the listeners of an event, in the order in which they were added. */
  tell<K extends keyof EngineListener>(event: K, ...args: Parameters<EngineListener[K]>): void {
    for (const listener of this.#listeners) {
      (listener[event] as ((...args: Parameters<EngineListener[K]>) => void) | undefined)?.(...args);
    }
  }

  #know(source: ModelSettings, facts: ServedModel): void {
    this.#source = source;
    this.#facts = facts;
    this.#fault = undefined;
  }
}

/** True if what was read is what was on the device before. */
function isSame(
  { stepSeconds, loadedAt: _, ...before }: ServedModel,
  { stepSeconds: __, loadedAt: ___, ...now }: ServedModel,
): boolean {
  return stepSeconds > 0 && isDeepStrictEqual(before, now);
}

/** True if two models take the same memory there. */
function takesAsMuch(a: ServedModel, b: ServedModel): boolean {
  return isDeepStrictEqual(a.config, b.config) && a.guideDigest === b.guideDigest &&
    a.precision === b.precision;
}
