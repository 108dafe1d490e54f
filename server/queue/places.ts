/**
 * Allocation of the batch's rows: images that run, and images parked so that others can. Background jobs get rows that no
 * other job wants, as long as steps are little slower for it, and are parked as soon as another job wants them.
 *
 * @module
 */
import type { Engine } from "../engine/engine.ts";
import { mayOpen } from "./admission.ts";
import type { Estimate } from "./estimate.ts";
import type { FairOrder, Holder } from "./fair_order.ts";
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
  readonly engine: Pick<Engine, "ready" | "park" | "resume">;
  readonly estimate: Pick<Estimate, "fairRows" | "spareRows">;
  /** Orders that the batches of all models share, so that a client's rows count in whichever it has them. */
  readonly orders: Orders;
  /** Gives images their ids. */
  readonly nextId: () => number;
  /** Accepted jobs for this batch that have not ended. */
  readonly tickets: () => Ticket[];
  /** The model is to leave the device: jobs that have not begun wait. */
  readonly held: () => boolean;
  /** Called when a request's next image gets its first place, under this id. */
  readonly onStart: (id: number, ticket: Ticket) => void;
}

/** Fair orders of jobs. */
export interface Orders {
  readonly foreground: FairOrder<Ticket>;
  /** Of background jobs, whose rows and work must not count in shares of the others. */
  readonly background: FairOrder<Ticket>;
}

/** Allocates the places of a batch. */
export class Places {
  readonly #options: PlacesOptions;
  readonly #order: FairOrder<Ticket>;
  readonly #backgroundOrder: FairOrder<Ticket>;
  readonly #running = new Map<number, Running>();
  #rows = 0;
  /** Current maximum of rows in use. */
  #rowLimit = 0;

  constructor(options: PlacesOptions) {
    this.#options = options;
    this.#order = options.orders.foreground;
    this.#backgroundOrder = options.orders.background;
  }

  /** Images in the batch, and network rows they take. */
  get state(): { readonly images: number; readonly rows: number } {
    return { images: this.#running.size, rows: this.#rows };
  }

  /** Network rows in the batch by client; those of background jobs are left out. */
  get rowsByClient(): ReadonlyMap<string, number> {
    const rows = new Map<string, number>();
    for (const { owner: { job: { client } }, rows: more } of this.#holders(false)) {
      rows.set(client, (rows.get(client) ?? 0) + more);
    }
    return rows;
  }

  /** Adds a request. */
  enter(ticket: Ticket): void {
    this.#orderOf(ticket).enter(ticket, ticket.job.client);
  }

  /** Removes a request, which must have no image in progress. */
  leave(ticket: Ticket): void {
    this.#orderOf(ticket).leave(ticket);
  }

  /** Requests in fair order; none of them a background job. */
  sorted(tickets: Iterable<Ticket>): Ticket[] {
    return this.#order.sorted(tickets);
  }

  /** Records work done for an image. */
  charge(id: number, ticket: Ticket, work: number): void {
    this.#orderOf(ticket).charge(ticket, work);
    const running = this.#running.get(id);
    if (running) running.work += work; // it may have been parked during the turn
  }

  /** Removes an image that has ended, in the batch or parked. */
  release(id: number, ticket: Ticket): void {
    ticket.parked.delete(id);
    if (!this.#running.delete(id)) return;
    this.#rows -= ticket.rows;
    this.#orderOf(ticket).left(ticket, ticket.rows);
  }

  /** Fills free places, and preempts images of clients that have more than their share. */
  fill(): void {
    this.#limitRows();
    while (this.#options.engine.ready) {
      const ticket = this.#order.first(this.#wanting());
      // The first in order waits for its rows even if a later one would fit: two rows are rarely free at once, so a guided
      // image would starve behind unguided ones. This leaves one row idle until the next image is finished.
      if (!ticket) break;
      if (!this.#place(ticket, Infinity)) return;
    }
    this.#fillSpare();
  }

  /** Preempts those ahead in work for the next request or, if that is impossible, for the smallest one. */
  rotate(): void {
    this.fill();
    while (this.#options.engine.ready) {
      const wanting = this.#wanting();
      const next = this.#order.first(wanting);
      if (!next) break;
      const smallest = wanting.reduce((a, b) => b.workLeft < a.workLeft ? b : a);
      const quantum = ({ workLeft }: Ticket) => Math.min(QUANTUM, workLeft);
      if (this.#place(next, quantum(next))) continue;
      // Free rows are reserved for the next request.
      if (smallest === next || !this.#place(smallest, quantum(smallest), smallest.rows)) break;
    }
  }

  /** Starts and resumes images of background jobs in spare rows. */
  #fillSpare(): void {
    const limit = this.#spareLimit();
    while (this.#options.engine.ready) {
      const all = this.#options.tickets().filter(({ background }) => background);
      // Parked images first, since each takes memory of the device.
      const ticket = this.#backgroundOrder.first(all.filter(({ parked }) => parked.size > 0)) ??
        this.#backgroundOrder.first(all.filter((one) => one.hasMore && this.#mayBegin(one)));
      if (!ticket || this.#rows + ticket.rows > limit) return;
      this.#startNext(ticket);
    }
  }

  /** Maximum rows in use with images of background jobs. */
  #spareLimit(): number {
    const used = this.#holders(false).reduce((sum, { rows }) => sum + rows, 0);
    return Math.min(this.#rowLimit, this.#options.estimate.spareRows(used));
  }

  /** Parks images of background jobs, last started first, until at most `rows` rows are in use or none is left. */
  #parkBackground(rows: number): void {
    for (const { id, owner } of this.#holders(true)) {
      if (this.#rows <= rows) return;
      this.#park(id, owner);
    }
  }

  /** Sets the maximum number of rows in use, and parks images beyond it. */
  #limitRows(): void {
    const asked = new Map<string, RowsAsked>();
    const begun = this.#options.tickets().filter(({ begun, background }) => begun.size > 0 && !background);
    const inPlay = new Set([...begun, ...this.#wanting()]);
    for (const { job: { client }, rows, rowsLeft } of inPlay) {
      const others = asked.get(client) ?? { rows: 0, image: 0 };
      asked.set(client, { rows: others.rows + rowsLeft, image: Math.max(others.image, rows) });
    }
    this.#rowLimit = this.#options.estimate.fairRows([...asked.values()]);
    this.#parkBackground(this.#spareLimit());
    while (this.#rows > this.#rowLimit) {
      const { id, owner } = this.#order.largest(this.#holders(false))!;
      this.#park(id, owner);
    }
  }

  /** Images of background jobs or of the others in the batch, last started first, since those are parked first. */
  #holders(background: boolean): Running[] {
    return [...this.#running.values()].filter(({ owner }) => owner.background === background)
      .sort((a, b) => b.id - a.id);
  }

  #orderOf({ background }: Ticket): FairOrder<Ticket> {
    return background ? this.#backgroundOrder : this.#order;
  }

  /** Requests that have an image for the batch; none of them a background job. */
  #wanting(): Ticket[] {
    const tickets = this.#options.tickets().filter(({ background }) => !background);
    const open = tickets.filter(({ halfWay }) => halfWay);
    return tickets.filter((one) =>
      one.parked.size > 0 || one.hasMore && this.#mayBegin(one) && mayOpen(one, open)
    );
  }

  /** Takes another image of a job: not the first one while the model is to leave the device. */
  #mayBegin({ starting }: Ticket): boolean {
    return !(starting && this.#options.held());
  }

  /** Rows of an image that are not free. */
  #missing({ rows }: Ticket): number {
    return Math.max(0, this.#rows + rows - this.#rowLimit);
  }

  /**
   * Starts or resumes a request's next image, in place of images of background jobs and then of others.
   *
   * @param quantum work by which others must be ahead to be preempted, if they have no more than their share
   * @param toFree rows to free by preemption; default those of the image that are not free
   * @returns false if nothing can be preempted
   */
  #place(member: Ticket, quantum: number, toFree?: number): boolean {
    const { rows } = member;
    this.#parkBackground(this.#rowLimit - rows);
    const missing = toFree ?? this.#missing(member);
    // Requests with at most a quantum of work left are not preempted.
    const holders = this.#holders(false)
      .filter(({ owner }) => quantum === Infinity || owner.workLeft > quantum);
    const yielding = this.#order.yielding({ member, rows, missing, quantum }, holders);
    if (!yielding) return false;
    for (const { id, owner } of yielding) this.#park(id, owner);
    this.#startNext(member);
    return true;
  }

  /** Resumes a request's first parked image or, if none is parked, starts its next. */
  #startNext(member: Ticket): void {
    const [parked] = member.parked;
    if (parked !== undefined) {
      member.parked.delete(parked);
      this.#join(parked, member);
      this.#options.engine.resume(parked);
    } else {
      const id = this.#options.nextId();
      this.#join(id, member);
      this.#options.onStart(id, member);
    }
  }

  #park(id: number, ticket: Ticket): void {
    this.#running.delete(id);
    this.#rows -= ticket.rows;
    this.#orderOf(ticket).yielded(ticket, ticket.rows);
    ticket.parked.add(id);
    this.#options.engine.park(id);
  }

  #join(id: number, owner: Ticket): void {
    const { rows } = owner;
    this.#running.set(id, { id, owner, rows, work: 0 });
    this.#rows += rows;
    this.#orderOf(owner).joined(owner, rows);
  }
}
