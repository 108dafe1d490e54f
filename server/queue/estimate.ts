/**
 * How long what was accepted will take, as far as the batch's speed has been measured.
 *
 * @module
 */
import type { EngineTurn } from "../engine/engine.ts";
import type { Ticket } from "./ticket.ts";
import { Throughput } from "./throughput.ts";

/** What is looked at of a ticket here. */
export type Accepted = Pick<Ticket, "workLeft"> & { readonly job: { readonly client: string } };

/** Tells clients when to come, and when not to. */
export class Estimate {
  readonly #rows: number;
  readonly #timeout: number;
  readonly #throughput = new Throughput();
  /** Of full batches alone. One with more room says little of how fast a full one is. */
  readonly #full = new Throughput();

  /**
   * @param rows of the largest batch
   * @param timeout seconds that a request may take
   */
  constructor(rows: number, timeout: number) {
    this.#rows = rows;
    this.#timeout = timeout;
  }

  /** Takes a turn into account. */
  add(turn: EngineTurn): void {
    this.#throughput.add(turn);
    // An image with guidance that waits for its two rows leaves one idle.
    if (turn.rows >= this.#rows - 1) this.#full.add(turn);
  }

  /** Whole seconds, 1 or more, until everything accepted is drawn or has run out of time. */
  secondsUntilIdle(accepted: readonly Accepted[]): number {
    const work = accepted.reduce((sum, { workLeft }) => sum + workLeft, 0);
    const seconds = this.#throughput.secondsFor(work) ?? 1;
    return Math.min(Math.max(1, Math.ceil(seconds)), Math.ceil(this.#timeout));
  }

  /**
   * Whole seconds by which a newcomer would miss its deadline, up to the timeout; 0 where it may well meet it, where
   * nothing is before it, or where nothing is known.
   *
   * @param work network rows times steps
   */
  secondsLate(accepted: readonly Accepted[], client: string, work: number): number {
    const ahead = workAhead(accepted, client, work);
    if (ahead === 0) return 0;
    const late = (this.#full.secondsFor(ahead + work) ?? 0) - this.#timeout;
    return Math.ceil(Math.min(Math.max(0, late), this.#timeout));
  }
}

/**
 * What the batch does, at least, before it has done a newcomer's work: the clients take turns, so of each other's as
 * much as of its own, and of its own client's requests likewise.
 */
function workAhead(accepted: readonly Accepted[], client: string, work: number): number {
  const others = new Map<string, number>();
  let ahead = 0;
  for (const { job, workLeft } of accepted) {
    if (job.client === client) ahead += Math.min(workLeft, work);
    else others.set(job.client, (others.get(job.client) ?? 0) + workLeft);
  }
  for (const left of others.values()) ahead += Math.min(left, work);
  return ahead;
}
