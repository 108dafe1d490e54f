/**
 * Models on the device: a model is loaded when a job waits for it; where the memory does not suffice, the least
 * recently used model that no request uses leaves the device.
 *
 * If requests use all models on the device, those that wait for another get their turn too: after a while the models there
 * begin no further requests, and leave when the begun ones have ended. So do background jobs among themselves, in longer
 * turns.
 *
 * @module
 */
import { OutOfMemory } from "../../lib/gpu/budget.ts";
import type { Clock } from "../clock.ts";
import type { ServedModel } from "../engine/engine.ts";
import type { Lane } from "./lane.ts";
import type { Ticket } from "./ticket.ts";

/** Milliseconds for which requests may use a model before it makes way for one that other requests wait for. */
const TURN = 10_000;
/** The same, as a multiple of the time that loading the other takes: most of the time should go into images. */
const TURN_FACTOR = 4;
/** The same where only background jobs use the one and wait for the other. */
const BACKGROUND_TURN = 60_000;
const BACKGROUND_TURN_FACTOR = 20;
/** Times that the engine may fail while it loads a model before that counts as the model's failure. */
const FORGIVEN = 1;
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
  /**
   * Called when a model cannot be loaded.
   *
   * @param repeated times that loading it has ended the engine, and with it the images of all models, before; 0 for others
   */
  readonly onFailed: (lane: Lane, error: Error, repeated: number) => void;
}

/** A model that did not fit. */
interface Misfit {
  /** Its facts then: once it was read again, it may be another. */
  readonly model: ServedModel | undefined;
  /** Bytes that were free. */
  readonly room: number;
  /** Set if it was alone on the device. */
  readonly alone?: OutOfMemory;
}

/** Decides which models are on the device. */
export class Residency {
  readonly #options: ResidencyOptions;
  readonly #misfits = new Map<Lane, Misfit>();
  /** Clock's time at which a model came to the device, and milliseconds that it took. */
  readonly #loads = new Map<Lane, { readonly at: number; readonly took: number }>();
  /** Clock's time at which a model left the device. */
  readonly #leftAt = new Map<Lane, number>();
  /** Models that were loaded, or tried, though nobody waited for them. */
  readonly #tried = new Set<Lane>();
  /** Times that the engine has failed while it loaded a model that it has not loaded since. */
  readonly #crashes = new Map<Lane, number>();
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
    this.#refuseTooLarge();
    const wanted = this.#wanted();
    if (wanted.some((lane) => this.#tryLoad(lane))) return;
    const [first] = wanted;
    if (!first) {
      this.#hold([]);
      this.#loadUnasked();
      return;
    }
    const now = clock.now();
    const next = wanted.find((lane) => isAsked(lane) || this.#fitsAfter(lane, this.#over(lane))) ?? first;
    this.#hold(isAsked(next) || this.#fitsAfter(next, this.#over(next)) ? this.#over(next) : []);
    if (this.#tryLoad(next)) return; // no request has begun for those that are held
    const later = wanted.flatMap((lane) => this.#turnsBefore(lane).map(({ end }) => end));
    if (!isAsked(next)) later.push(...this.#endsOfKeeping());
    const due = Math.min(...later.filter((time) => time > now));
    if (due < Infinity) this.#callOff = clock.after(due - now, () => this.update());
  }

  /**
   * Models that jobs wait for: those of requests first, by their arrival, then those of background jobs, the one that was on
   * the device longest ago first.
   */
  #wanted(): Lane[] {
    const since = (lane: Lane) => lane.foreground[0]?.arrived ?? Infinity;
    const left = (lane: Lane) => this.#leftAt.get(lane) ?? -Infinity;
    return this.#options.lanes.filter((lane) => isLoadable(lane) && lane.tickets.size > 0)
      .sort((a, b) => compare(since(a), since(b)) || compare(left(a), left(b)));
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

  /** Fails the jobs of models that would not fit even alone: no other leaves the device for them. */
  #refuseTooLarge(): void {
    for (const lane of this.#wanted()) {
      const error = this.#tooLarge(lane);
      if (error) this.#options.onFailed(lane, error, 0);
    }
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
      this.#leftAt.set(victim, this.#options.clock.now());
      this.#options.onEvicted(victim);
    }
    this.#hold([]);
    this.#load(lane);
    return true;
  }

  /** Models that may leave the device for another, those without jobs first, and of these the least recently used. */
  #leaving(lane: Lane): Lane[] {
    const mayLeave = (other: Lane) => {
      const areDone = (tickets: readonly Ticket[]) =>
        tickets.every(({ begun, halfWay }) => other.held && begun.size === 0 && !halfWay);
      if (isAsked(lane)) return areDone(other.foreground);
      return !isAsked(other) && areDone([...other.tickets]) && !this.#isKept(other);
    };
    return this.#others(lane).filter(mayLeave)
      .sort((a, b) => Number(a.tickets.size > 0) - Number(b.tickets.size > 0) || compare(a.usedAt, b.usedAt));
  }

  /** True if a model fits once `held`, and those that nobody uses, have left for its background jobs. */
  #fitsAfter(lane: Lane, held: readonly Lane[]): boolean {
    const unused = (other: Lane) => other.tickets.size === 0 && !this.#isKept(other);
    const leaving = this.#others(lane).filter((other) => held.includes(other) || unused(other));
    return leaving.reduce((room, { engine }) => room + (engine.bytes ?? 0), this.#room) >= this.#need(lane);
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
      this.#misfits.delete(lane);
      this.#crashes.delete(lane);
      this.#loads.set(lane, { at: clock.now(), took });
      onLoaded(lane, took / 1000);
    };
    const failed = (error: Error) => {
      this.#loading = false;
      const { model } = lane.engine;
      const mayFit = error instanceof OutOfMemory && this.#others(lane).length > 0;
      if (error instanceof OutOfMemory) {
        this.#misfits.set(lane, { model, room, ...mayFit ? {} : { alone: error } });
      }
      if (!model) this.#countCrash(lane, error); // the engine is down, and will be back
      else if (!mayFit) onFailed(lane, error, 0);
    };
    lane.engine.load().then(loaded, failed).finally(() => this.update());
  }

  /** Counts a failure of the engine while it loaded a model; once may be by chance. */
  #countCrash(lane: Lane, error: Error): void {
    const crashes = (this.#crashes.get(lane) ?? 0) + 1;
    this.#crashes.set(lane, crashes);
    if (crashes > FORGIVEN) this.#options.onFailed(lane, error, crashes - FORGIVEN - 1);
  }

  /**
   * The models on the device that are to make way for another, and the clock's times at which their turns end because jobs
   * wait for it. For background jobs alone, none does that requests use.
   */
  #turnsBefore(lane: Lane): { readonly lane: Lane; readonly end: number }[] {
    const [shortest, factor] = isAsked(lane)
      ? [TURN, TURN_FACTOR]
      : [BACKGROUND_TURN, BACKGROUND_TURN_FACTOR];
    const turn = Math.max(shortest, factor * (this.#loads.get(lane)?.took ?? 0));
    const [first] = isAsked(lane) ? lane.foreground : lane.tickets;
    const since = first?.arrived ?? this.#options.clock.now();
    const concerned = this.#others(lane).filter((other) =>
      isAsked(lane) || !isAsked(other) && other.tickets.size > 0
    );
    return concerned.map((other) => {
      const end = Math.max(this.#loads.get(other)?.at ?? -Infinity, since) + turn;
      return { lane: other, end: isAsked(lane) ? end : Math.max(end, this.#keptUntil(other)) };
    });
  }

  /** Models on the device whose turns before another are over. */
  #over(lane: Lane): Lane[] {
    const now = this.#options.clock.now();
    return this.#turnsBefore(lane).filter(({ end }) => end <= now).map(({ lane }) => lane);
  }

  /** The clock's times at which models that nobody uses may leave for a background job. */
  #endsOfKeeping(): number[] {
    return this.#options.lanes.filter(({ engine, tickets }) => engine.ready && tickets.size === 0)
      .map((lane) => this.#keptUntil(lane));
  }

  #keptUntil({ usedAt }: Lane): number {
    return usedAt + KEPT;
  }

  /** Requests have used it just now, so that it does not leave for a background job. */
  #isKept(lane: Lane): boolean {
    return this.#keptUntil(lane) > this.#options.clock.now();
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
    const atLeast = (this.#misfit(lane)?.room ?? -1) + 1;
    return Math.min(Math.max(lane.engine.bytes ?? 0, atLeast), this.#options.memory() ?? Infinity);
  }

  /** How a model did not fit, if it has not been read again since. */
  #misfit(lane: Lane): Misfit | undefined {
    const misfit = this.#misfits.get(lane);
    return misfit?.model === lane.engine.model ? misfit : undefined;
  }

  /** The error of a model that would not fit even alone. */
  #tooLarge(lane: Lane): OutOfMemory | undefined {
    const { alone, room = 0 } = this.#misfit(lane) ?? {};
    return room >= (this.#options.memory() ?? Infinity) ? alone : undefined;
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
