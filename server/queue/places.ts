/**
 * Allocation of the batch's rows: images that run, and images parked so that others can.
 *
 * @module
 */
import type { Engine } from "../engine/engine.ts";
import { mayOpen } from "./admission.ts";
import type { Estimate } from "./estimate.ts";
import { FairOrder, type Holder } from "./fair_order.ts";
import type { RowsAsked } from "./step_times.ts";
import type { Ticket } from "./ticket.ts";

/**
 * Maximum quantum of preemption in network rows times steps: the work of a typical request, so that typical requests do not
 * preempt each other. For a smaller request the quantum is its own work.
 */
const QUANTUM = 100;

/** An image in the batch. */
interface Running extends Holder<Ticket> {
  readonly id: number;
  work: number;
}

/** Dependencies of {@linkcode Places}. */
export interface PlacesOptions {
  readonly engine: Pick<Engine, "model" | "park" | "resume">;
  readonly estimate: Pick<Estimate, "fairRows">;
  /** Accepted jobs that have not ended. */
  readonly tickets: () => Ticket[];
  /** Called when a request's next image gets its first place, under this id. */
  readonly onStart: (id: number, ticket: Ticket) => void;
}

/** Allocates the places of a batch. */
export class Places {
  readonly #options: PlacesOptions;
  readonly #order = new FairOrder<Ticket>();
  readonly #running = new Map<number, Running>();
  #rows = 0;
  /** Current maximum of rows in use. */
  #rowLimit = 0;
  #lastId = 0;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** Images in the batch, and network rows they take. */
  get state(): { readonly images: number; readonly rows: number } {
    return { images: this.#running.size, rows: this.#rows };
  }

  /** Adds a request. */
  enter(ticket: Ticket): void {
    this.#order.enter(ticket, ticket.job.client);
  }

  /** Removes a request, which must have no image in progress. */
  leave(ticket: Ticket): void {
    this.#order.leave(ticket);
  }

  /** Requests in fair order. */
  sorted(tickets: Iterable<Ticket>): Ticket[] {
    return this.#order.sorted(tickets);
  }

  /** Records work done for an image. */
  charge(id: number, ticket: Ticket, work: number): void {
    this.#order.charge(ticket, work);
    const running = this.#running.get(id);
    if (running) running.work += work; // it may have been parked during the turn
  }

  /** Removes an image that has ended, in the batch or parked. */
  release(id: number, ticket: Ticket): void {
    ticket.parked.delete(id);
    if (!this.#running.delete(id)) return;
    this.#rows -= ticket.rows;
    this.#order.left(ticket, ticket.rows);
  }

  /** Fills free places, and preempts images of clients that have more than their share. */
  fill(): void {
    this.#limitRows();
    while (this.#options.engine.model) {
      const ticket = this.#order.first(this.#wanting());
      // The first in order waits for its rows even if a later one would fit: two rows are rarely free at once, so a guided
      // image would starve behind unguided ones. This leaves one row idle until the next image is finished.
      if (!ticket || !this.#place(ticket, this.#missing(ticket), Infinity)) return;
    }
  }

  /** Preempts those ahead in work for the next request or, if that is impossible, for the smallest one. */
  rotate(): void {
    this.fill();
    while (this.#options.engine.model) {
      const wanting = this.#wanting();
      const next = this.#order.first(wanting);
      if (!next) break;
      const smallest = wanting.reduce((a, b) => b.workLeft < a.workLeft ? b : a);
      const quantum = ({ workLeft }: Ticket) => Math.min(QUANTUM, workLeft);
      if (this.#place(next, this.#missing(next), quantum(next))) continue;
      // Free rows are reserved for the next request.
      if (smallest === next || !this.#place(smallest, smallest.rows, quantum(smallest))) break;
    }
  }

  /** Sets the maximum number of rows in use, and parks images beyond it. */
  #limitRows(): void {
    const asked = new Map<string, RowsAsked>();
    const begun = this.#options.tickets().filter(({ begun }) => begun.size > 0);
    const inPlay = new Set([...begun, ...this.#wanting()]);
    for (const { job: { client }, rows, rowsLeft } of inPlay) {
      const others = asked.get(client) ?? { rows: 0, image: 0 };
      asked.set(client, { rows: others.rows + rowsLeft, image: Math.max(others.image, rows) });
    }
    this.#rowLimit = this.#options.estimate.fairRows([...asked.values()]);
    while (this.#rows > this.#rowLimit) {
      const { id, owner } = this.#order.largest(this.#holders())!;
      this.#park(id, owner);
    }
  }

  /** Images in the batch, last started first, since those are parked first. */
  #holders(): Running[] {
    return [...this.#running.values()].sort((a, b) => b.id - a.id);
  }

  /** Requests that have an image for the batch. */
  #wanting(): Ticket[] {
    const tickets = this.#options.tickets();
    const open = tickets.filter(({ halfWay }) => halfWay);
    return tickets.filter((one) => one.parked.size > 0 || one.hasMore && mayOpen(one, open));
  }

  /** Rows of an image that are not free. */
  #missing({ rows }: Ticket): number {
    return Math.max(0, this.#rows + rows - this.#rowLimit);
  }

  /**
   * Starts or resumes a request's next image.
   *
   * @param missing rows to free by preemption
   * @param quantum work by which others must be ahead to be preempted, if they have no more than their share
   * @returns false if nothing can be preempted
   */
  #place(member: Ticket, missing: number, quantum: number): boolean {
    const { rows } = member;
    // Requests with at most a quantum of work left are not preempted.
    const holders = this.#holders().filter(({ owner }) => quantum === Infinity || owner.workLeft > quantum);
    const yielding = this.#order.yielding({ member, rows, missing, quantum }, holders);
    if (!yielding) return false;
    for (const { id, owner } of yielding) this.#park(id, owner);
    const [parked] = member.parked;
    if (parked !== undefined) {
      member.parked.delete(parked);
      this.#join(parked, member);
      this.#options.engine.resume(parked);
    } else {
      const id = ++this.#lastId;
      this.#join(id, member);
      this.#options.onStart(id, member);
    }
    return true;
  }

  #park(id: number, ticket: Ticket): void {
    this.#running.delete(id);
    this.#rows -= ticket.rows;
    this.#order.yielded(ticket, ticket.rows);
    ticket.parked.add(id);
    this.#options.engine.park(id);
  }

  #join(id: number, owner: Ticket): void {
    const { rows } = owner;
    this.#running.set(id, { id, owner, rows, work: 0 });
    this.#rows += rows;
    this.#order.joined(owner, rows);
  }
}
