/**
 * One model's batch as the scheduler uses it: its jobs, its images and their places, and estimates of its speed.
 *
 * @module
 */
import type { Engine, EngineTurn } from "../engine/engine.ts";
import { Estimate } from "./estimate.ts";
import type { JobError, LoadState } from "./job.ts";
import { Places, type PlacesOptions } from "./places.ts";
import type { Ticket } from "./ticket.ts";

/** Options of a {@linkcode Lane}. */
export interface LaneOptions extends Pick<PlacesOptions, "orders" | "nextId"> {
  readonly engine: Engine;
  /** Deadline of a request in seconds. */
  readonly timeout: number;
  /** Called when a request's next image gets its first place, under this id. */
  readonly onStart: (lane: Lane, id: number, ticket: Ticket) => void;
}

/** A model's batch. */
export class Lane {
  readonly engine: Engine;
  readonly estimate: Estimate;
  readonly places: Places;
  /** Accepted jobs that have not ended, in order of arrival. */
  readonly tickets = new Set<Ticket>();
  /** Jobs by the ids of their unfinished images, in the batch or parked. */
  readonly images = new Map<number, Ticket>();
  /** The model is to leave the device: jobs that have not begun wait until it is back. */
  held = false;
  /** Why requests for the model are refused at present. */
  refusal: JobError | undefined;
  /** Clock's time in milliseconds at which a request other than a background job last arrived or ended. */
  usedAt = -Infinity;

  constructor({ engine, timeout, orders, nextId, onStart }: LaneOptions) {
    this.engine = engine;
    this.estimate = new Estimate(engine.rows, timeout);
    if (engine.model) this.estimate.begin(engine.model);
    this.places = new Places({
      engine,
      estimate: this.estimate,
      orders,
      nextId,
      tickets: () => [...this.tickets],
      held: () => this.held,
      onStart: (id, ticket) => onStart(this, id, ticket),
    });
  }

  /** Jobs that do not give way to others. */
  get foreground(): Ticket[] {
    return [...this.tickets].filter(({ background }) => !background);
  }

  /** Requests none of whose images has joined the batch. */
  get waiting(): Ticket[] {
    return this.foreground.filter(({ waiting }) => waiting);
  }

  get state(): LoadState {
    const waiting = this.waiting.length;
    const foreground = this.foreground.length;
    const { images, rows } = this.places.state;
    return {
      waiting,
      running: foreground - waiting,
      images,
      rows,
      parked: this.images.size - images,
      background: this.tickets.size - foreground,
    };
  }

  /** Takes the next image of a job into the batch. */
  start(id: number, ticket: Ticket, now: number): void {
    this.images.set(id, ticket);
    this.engine.add(ticket.take(id, now));
  }

  /** Forgets an image that has ended. */
  strike(id: number): { readonly ticket: Ticket; readonly index: number } {
    const ticket = this.images.get(id)!;
    const index = ticket.begun.get(id)!;
    this.places.release(id, ticket);
    this.images.delete(id);
    ticket.begun.delete(id);
    return { ticket, index };
  }

  /** Removes a job's images from the batch. */
  removeImages(ticket: Ticket): void {
    for (const id of [...ticket.begun.keys()]) {
      this.strike(id);
      this.engine.remove(id);
    }
  }

  /** Records the work of a turn. */
  account(turn: EngineTurn): void {
    this.estimate.add(turn);
    for (const id of turn.images) {
      const ticket = this.images.get(id);
      if (!ticket) continue; // its request has ended
      this.places.charge(id, ticket, ticket.charge(turn.steps));
    }
  }
}
