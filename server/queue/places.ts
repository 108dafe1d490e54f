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
 * Most network rows times steps by which a client gets ahead of one that waits for its place: a usual request's, so that
 * usual requests are not parked for each other. A smaller request waits for as much as it asks for itself.
 */
const QUANTUM = 100;

/** An image in the batch. */
interface Running extends Holder<Ticket> {
  readonly id: number;
  work: number;
}

/** What {@linkcode Places} are given out with. */
export interface PlacesOptions {
  readonly engine: Pick<Engine, "model" | "park" | "resume">;
  readonly estimate: Pick<Estimate, "fairRows">;
  /** The jobs that were accepted and have not ended. */
  readonly tickets: () => Ticket[];
  /** A request's next image has got its first place, under this number. */
  readonly onStart: (id: number, ticket: Ticket) => void;
}

/** Gives out the places of a batch. */
export class Places {
  readonly #options: PlacesOptions;
  readonly #order = new FairOrder<Ticket>();
  readonly #running = new Map<number, Running>();
  #rows = 0;
  /** Rows that may be in use. */
  #rowLimit = 0;
  #lastId = 0;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** Images in the batch, and network rows they take. */
  get state(): { readonly images: number; readonly rows: number } {
    return { images: this.#running.size, rows: this.#rows };
  }

  /** A request comes. */
  enter(ticket: Ticket): void {
    this.#order.enter(ticket, ticket.job.client);
  }

  /** A request goes, with none of its images under way. */
  leave(ticket: Ticket): void {
    this.#order.leave(ticket);
  }

  /** Requests in the order of their turns. */
  sorted(tickets: Iterable<Ticket>): Ticket[] {
    return this.#order.sorted(tickets);
  }

  /** Work was done for an image. */
  charge(id: number, ticket: Ticket, work: number): void {
    this.#order.charge(ticket, work);
    const running = this.#running.get(id);
    if (running) running.work += work; // it may have been parked while the work was done
  }

  /** An image has ended, in the batch or parked. */
  release(id: number, ticket: Ticket): void {
    ticket.parked.delete(id);
    if (!this.#running.delete(id)) return;
    this.#rows -= ticket.rows;
    this.#order.left(ticket, ticket.rows);
  }

  /** Gives out places as long as there are free ones, or others have more than their share. */
  fill(): void {
    this.#limitRows();
    while (this.#options.engine.model) {
      const ticket = this.#order.first(this.#wanting());
      // Whoever is first waits for its rows, even where one behind it would fit: two rows are rarely free at once, so a
      // guided image would wait for ever behind plain ones. It costs one idle row until the next image is finished.
      if (!ticket || !this.#place(ticket, this.#missing(ticket), Infinity)) return;
    }
  }

  /** Lets those who are ahead in work yield to whoever is next and, where nobody does, to the smallest request. */
  rotate(): void {
    this.fill();
    while (this.#options.engine.model) {
      const wanting = this.#wanting();
      const next = this.#order.first(wanting);
      if (!next) break;
      const smallest = wanting.reduce((a, b) => b.workLeft < a.workLeft ? b : a);
      const quantum = ({ workLeft }: Ticket) => Math.min(QUANTUM, workLeft);
      if (this.#place(next, this.#missing(next), quantum(next))) continue;
      // Rows that are free are kept for whoever is next.
      if (smallest === next || !this.#place(smallest, smallest.rows, quantum(smallest))) break;
    }
  }

  /** Sets how large the batch may be now, and parks what is beyond. */
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

  /** What is in the batch; what began last is first, since it is parked first. */
  #holders(): Running[] {
    return [...this.#running.values()].sort((a, b) => b.id - a.id);
  }

  /** Those that have an image for the batch. */
  #wanting(): Ticket[] {
    const tickets = this.#options.tickets();
    const open = tickets.filter(({ halfWay }) => halfWay);
    return tickets.filter((one) => one.parked.size > 0 || one.hasMore && mayOpen(one, open));
  }

  /** Rows that are not free of those that an image takes. */
  #missing({ rows }: Ticket): number {
    return Math.max(0, this.#rows + rows - this.#rowLimit);
  }

  /**
   * Gives a place to a request's next image.
   *
   * @param missing rows that others must yield for it
   * @param quantum work by which they must be ahead, where they have no more than their share
   * @returns false where nobody yields
   */
  #place(member: Ticket, missing: number, quantum: number): boolean {
    const { rows } = member;
    // Whoever needs no more than a quantum is finished first.
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
