/**
 * Estimates of completion times, from the measured throughput of the batch.
 *
 * @module
 */
import type { EngineTurn, ServedModel } from "../engine/engine.ts";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import { fairRows, type RowsAsked, StepTimes } from "./step_times.ts";
import type { Ticket } from "./ticket.ts";
import { Throughput } from "./throughput.ts";

/** The part of a ticket that estimates depend on. */
export type Accepted = Pick<Ticket, "workLeft"> & { readonly job: { readonly client: string } };

/** The part of a request that {@linkcode Estimate.leastSeconds} depends on. */
export type Asked = Pick<DrawPlan, "labels" | "imageRows" | "imageWork" | "evaluations">;

/** Maximum factor by which background jobs may slow down the steps of other jobs. */
const BACKGROUND_DELAY = 1.25;

/** Estimates of one model's batch, for `Retry-After` and for refusing requests that would miss their deadline. */
export class Estimate {
  readonly #rows: number;
  readonly #timeout: number;
  readonly #throughput = new Throughput();
  /** Throughput of full batches only, since partly filled ones are slower per row. */
  readonly #full = new Throughput();
  #times = new StepTimes(0);
  /** Part of the device's time that its model gets, above 0 to 1. */
  share = 1;
  /** Networks that a step of the batch may evaluate on all rows: the model, and with autoguidance its guide. */
  #networks = 1;

  /**
   * @param rows of the largest batch
   * @param timeout deadline of a request in seconds
   */
  constructor(rows: number, timeout: number) {
    this.#rows = rows;
    this.#timeout = timeout;
  }

  /** Discards measurements of the previous model. */
  begin({ stepSeconds, guide }: Pick<ServedModel, "stepSeconds" | "guide">): void {
    this.#times = new StepTimes(stepSeconds);
    this.#networks = guide === undefined ? 1 : 2;
  }

  /** Records a turn. */
  add(turn: EngineTurn): void {
    this.#throughput.add(turn);
    this.#times.add(turn);
    // A batch with one idle row counts as full: a guided image may be waiting for a second.
    if (turn.rows >= this.#networks * (this.#rows - 1)) this.#full.add(turn);
  }

  /** Most network evaluations of a step. */
  get #capacity(): number {
    return this.#networks * this.#rows;
  }

  /** Whole seconds, 1 or more, until every accepted request is finished or timed out. */
  secondsUntilIdle(accepted: readonly Accepted[]): number {
    const work = accepted.reduce((sum, { workLeft }) => sum + workLeft, 0);
    const seconds = (this.#throughput.secondsFor(work) ?? 1) / this.share;
    return Math.min(Math.max(1, Math.ceil(seconds)), Math.ceil(this.#timeout));
  }

  /**
   * Whole seconds by which a new request would miss its deadline, up to the timeout; 0 if it may meet it, or if the server
   * is idle.
   *
   * @param work network evaluations
   * @param seconds until its deadline
   */
  secondsLate(accepted: readonly Accepted[], client: string, work: number, seconds: number): number {
    const ahead = workAhead(accepted, client, work);
    if (ahead === 0) return 0;
    const least = (ahead + work) / this.#capacity * this.#times.atLeast(this.#capacity);
    const late = Math.max(least, this.#full.secondsFor(ahead + work) ?? 0) / this.share - seconds;
    return Math.ceil(Math.min(Math.max(0, late), this.#timeout));
  }

  /**
   * Least seconds for a request, on an idle server at its fastest measured speed. A request refused for it could not have
   * been served, however busy the machine was during measurements.
   */
  leastSeconds({ labels, imageRows, imageWork, evaluations }: Asked): number {
    const atOnce = Math.floor(this.#rows / imageRows);
    const perStep = imageWork / evaluations;
    const seconds = (images: number) => images === 0 ? 0 : this.#times.atLeast(images * perStep);
    const full = Math.floor(labels.length / atOnce);
    return evaluations * (full * seconds(atOnce) + seconds(labels.length % atOnce));
  }

  /** Maximum rows of the batch at which its steps are little slower than with `used` rows; all rows if none is used. */
  spareRows(used: number): number {
    if (used === 0) return this.#rows;
    const longest = BACKGROUND_DELAY * this.#times.about(used);
    let rows = this.#rows;
    while (rows > used && this.#times.about(rows) > longest) rows--;
    return rows;
  }

  /** Maximum rows of the batch at which each client still gets a fair share of the machine. */
  fairRows(asked: readonly RowsAsked[]): number {
    return fairRows(asked, this.#rows, this.#times);
  }
}

/**
 * Least work of the batch before a new request is finished. Clients take turns, so it includes as much of each other
 * client's work as of its own, and likewise of its own client's other requests.
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
