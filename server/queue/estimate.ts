/**
 * Estimates of completion times, from the measured throughput of the batch.
 *
 * @module
 */
import { rowsOf } from "../engine/engine.ts";
import type { EngineTurn, ServedModel } from "../engine/engine.ts";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import { fairRows, type RowsAsked, StepTimes } from "./step_times.ts";
import type { Ticket } from "./ticket.ts";
import { Throughput } from "./throughput.ts";

/** The part of a ticket that estimates depend on. */
export type Accepted = Pick<Ticket, "workLeft"> & { readonly job: { readonly client: string } };

/** What {@linkcode Estimate.leastSeconds} needs to know of a request. */
export type Asked = Pick<DrawPlan, "labels" | "guidance" | "steps">;

/** Estimates for `Retry-After` and for refusing requests that would miss their deadline. */
export class Estimate {
  readonly #rows: number;
  readonly #timeout: number;
  readonly #throughput = new Throughput();
  /** Of full batches alone. One with more room says little of how fast a full one is. */
  readonly #full = new Throughput();
  #times = new StepTimes(0);

  /**
   * @param rows of the largest batch
   * @param timeout seconds that a request may take
   */
  constructor(rows: number, timeout: number) {
    this.#rows = rows;
    this.#timeout = timeout;
  }

  /** Forgets how fast another model was. */
  begin({ stepSeconds }: Pick<ServedModel, "stepSeconds">): void {
    this.#times = new StepTimes(stepSeconds);
  }

  /** Takes a turn into account. */
  add(turn: EngineTurn): void {
    this.#throughput.add(turn);
    this.#times.add(turn);
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
   * Whole seconds by which a newcomer would miss its deadline, up to the timeout; 0 where it may well meet it, or where
   * nothing is before it.
   *
   * @param work network rows times steps
   */
  secondsLate(accepted: readonly Accepted[], client: string, work: number): number {
    const ahead = workAhead(accepted, client, work);
    if (ahead === 0) return 0;
    const least = (ahead + work) / this.#rows * this.#times.atLeast(this.#rows);
    const late = Math.max(least, this.#full.secondsFor(ahead + work) ?? 0) - this.#timeout;
    return Math.ceil(Math.min(Math.max(0, late), this.#timeout));
  }

  /**
   * Seconds that a request takes at least, on a server that has nothing else to do and is as fast as it ever was. So a
   * request that is refused for it could not have been met, however slow the machine was when it was measured.
   */
  leastSeconds({ labels, guidance, steps }: Asked): number {
    const perImage = rowsOf({ guidance });
    const atOnce = Math.floor(this.#rows / perImage);
    const seconds = (images: number) => images === 0 ? 0 : this.#times.atLeast(images * perImage);
    const full = Math.floor(labels.length / atOnce);
    return steps * (full * seconds(atOnce) + seconds(labels.length % atOnce));
  }

  /** Rows that the batch may have, so that each client has a fair part of the machine. */
  fairRows(asked: readonly RowsAsked[]): number {
    return fairRows(asked, this.#rows, this.#times);
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
