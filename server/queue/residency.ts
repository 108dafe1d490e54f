/**
 * Models on the device: a model is loaded when a job waits for it; where the memory does not suffice, the least
 * recently used model that no request uses leaves the device.
 *
 * If requests use all models on the device, those that wait for another get their turn too: after a while the models there
 * begin no further requests, and leave when the begun ones have ended.
 *
 * @module
 */
import { OutOfMemory } from "../../lib/gpu/budget.ts";
import type { Clock } from "../clock.ts";
import type { Lane } from "./lane.ts";

/** Milliseconds for which requests may use a model before it makes way for one that other requests wait for. */
const TURN = 10_000;
/** The same, as a multiple of the time that loading the other takes: most of the time should go into images. */
const TURN_FACTOR = 4;
/** Milliseconds since the last request for a model before which it does not leave the device for a background job. */
const KEPT = 60_000;

/** Dependencies of {@linkcode Residency}. */
export interface ResidencyOptions {
  readonly lanes: readonly Lane[];
  /** Bytes that all models may take together; undefined before the device is open. */
  readonly memory: () => number | undefined;
  readonly clock: Clock;
  /** Takes the images of background jobs out of the batch of a model that is to leave the device. */
  readonly evacuate: (lane: Lane) => void;
  /** Called when a model is on the device, or has left it. */
  readonly onLoaded: (lane: Lane, seconds: number) => void;
  readonly onEvicted: (lane: Lane) => void;
  /** Called when a model cannot be loaded. */
  readonly onFailed: (lane: Lane, error: Error) => void;
}

/** Decides which models are on the device. */
export class Residency {
  readonly #options: ResidencyOptions;
  /** Bytes that a model takes at least, where it did not fit. */
  readonly #atLeast = new Map<Lane, number>();
  /** Clock's time at which a model came to the device, and milliseconds that it took. */
  readonly #loads = new Map<Lane, { readonly at: number; readonly took: number }>();
  /** Models that were loaded, or tried, though nobody waited for them. */
  readonly #tried = new Set<Lane>();
  #loading = false;
  #callOff: (() => void) | undefined;

  constructor(options: ResidencyOptions) {
    this.#options = options;
  }

  /** Loads what is waited for, as far as there is or can be made room. */
  update(): void {
    const { lanes, clock } = this.#options;
    this.#callOff?.();
    this.#callOff = undefined;
    if (this.#loading || lanes.length < 2) return;
    const wanted = this.#wanted();
    if (wanted.some((lane) => this.#tryLoad(lane))) return;
    const [first] = wanted;
    if (!first) {
      this.#hold([]);
      this.#loadUnasked();
      return;
    }
    const now = clock.now();
    const turns = isAsked(first) ? this.#turnsBefore(first) : [];
    this.#hold(turns.filter(({ end }) => end <= now).map(({ lane }) => lane));
    if (this.#tryLoad(first)) return; // no request has begun for those that are held
    const later = isAsked(first) ? turns.map(({ end }) => end) : this.#endsOfKeeping();
    const due = Math.min(...later.filter((time) => time > now));
    if (due < Infinity) this.#callOff = clock.after(due - now, () => this.update());
  }

  /** Models that jobs wait for: those of requests first, by their arrival, then those of background jobs. */
  #wanted(): Lane[] {
    const since = (lane: Lane) => lane.foreground[0]?.arrived ?? Infinity;
    return this.#options.lanes.filter((lane) => isLoadable(lane) && lane.tickets.size > 0)
      .sort((a, b) => isAsked(a) || isAsked(b) ? since(a) - since(b) : 0);
  }

  /** Loads the models that were never asked for, for the first request, where nothing has to leave for them. */
  #loadUnasked(): void {
    const mayTry = (lane: Lane) =>
      isLoadable(lane) && !this.#tried.has(lane) && this.#need(lane) <= this.#room;
    const lane = this.#options.lanes.find(mayTry);
    if (!lane) return;
    this.#tried.add(lane);
    this.#load(lane);
  }

  /** @returns false if there is no room for it at present */
  #tryLoad(lane: Lane): boolean {
    const victims: Lane[] = [];
    let room = this.#room;
    for (const victim of this.#leaving(lane)) {
      if (room >= this.#need(lane)) break;
      victims.push(victim);
      room += victim.engine.bytes ?? 0;
    }
    if (room < this.#need(lane)) return false;
    for (const victim of victims) {
      this.#options.evacuate(victim);
      victim.engine.unload();
      this.#options.onEvicted(victim);
    }
    this.#hold([]);
    this.#load(lane);
    return true;
  }

  /** Models that may leave the device for another, those without jobs first, and of these the least recently used. */
  #leaving(lane: Lane): Lane[] {
    const mayLeave = (other: Lane) => {
      if (isAsked(lane)) {
        return other.foreground.every(({ begun, halfWay }) => other.held && begun.size === 0 && !halfWay);
      }
      return other.tickets.size === 0 && this.#keptUntil(other) <= this.#options.clock.now();
    };
    return this.#others(lane).filter(mayLeave)
      .sort((a, b) => Number(a.tickets.size > 0) - Number(b.tickets.size > 0) || compare(a.usedAt, b.usedAt));
  }

  #load(lane: Lane): void {
    const { clock, onLoaded, onFailed } = this.#options;
    this.#loading = true;
    const room = this.#room;
    const start = clock.now();
    const loaded = () => {
      const took = clock.now() - start;
      this.#loading = false;
      this.#tried.add(lane);
      this.#atLeast.delete(lane);
      this.#loads.set(lane, { at: clock.now(), took });
      onLoaded(lane, took / 1000);
    };
    const failed = (error: Error) => {
      this.#loading = false;
      if (error instanceof OutOfMemory && this.#others(lane).length > 0) this.#atLeast.set(lane, room + 1);
      else if (lane.engine.model) onFailed(lane, error); // otherwise the engine is down, and will be back
    };
    lane.engine.load().then(loaded, failed).finally(() => this.update());
  }

  /** The models on the device, and the clock's times at which their turns end because requests wait for another. */
  #turnsBefore(lane: Lane): { readonly lane: Lane; readonly end: number }[] {
    const turn = Math.max(TURN, TURN_FACTOR * (this.#loads.get(lane)?.took ?? 0));
    const since = lane.foreground[0]?.arrived ?? this.#options.clock.now();
    return this.#others(lane).map((other) => {
      return { lane: other, end: Math.max(this.#loads.get(other)?.at ?? -Infinity, since) + turn };
    });
  }

  /** The clock's times at which models that nobody uses may leave for a background job. */
  #endsOfKeeping(): number[] {
    return this.#options.lanes.filter(({ engine, tickets }) => engine.ready && tickets.size === 0)
      .map((lane) => this.#keptUntil(lane));
  }

  #keptUntil({ usedAt }: Lane): number {
    return usedAt + KEPT;
  }

  #hold(held: readonly Lane[]): void {
    for (const lane of this.#options.lanes) lane.held = held.includes(lane);
  }

  #others(lane: Lane): Lane[] {
    return this.#options.lanes.filter((other) => other !== lane && other.engine.ready);
  }

  /** Bytes that are free on the device. */
  get #room(): number {
    const { lanes, memory } = this.#options;
    return lanes.reduce(
      (room, { engine }) => room - (engine.ready ? engine.bytes ?? 0 : 0),
      memory() ?? Infinity,
    );
  }

  /**
   * Bytes that a model takes at least, as far as is known; no more than there are, so that one that does not fit alone is tried
   * and refused: a restarted worker may have less memory than the one that the model was measured on.
   */
  #need(lane: Lane): number {
    const known = Math.max(lane.engine.bytes ?? 0, this.#atLeast.get(lane) ?? 0);
    return Math.min(known, this.#options.memory() ?? Infinity);
  }
}

/** It is known, not on the device, and has not failed just now. */
function isLoadable({ engine, refusal }: Lane): boolean {
  return engine.model !== undefined && !engine.ready && refusal === undefined;
}

/** Requests that are no background jobs use it or wait for it. */
function isAsked({ foreground }: Lane): boolean {
  return foreground.length > 0;
}

/** Order of numbers that may be infinite. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a - b;
}
