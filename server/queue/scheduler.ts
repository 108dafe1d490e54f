/**
 * Scheduling of requests on the engine: queueing, fair order, preemption, deadlines, and the outcome of each request.
 *
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import type { Engine, EngineTurn, Pixels, ServedModel } from "../engine/engine.ts";
import { checkFit, checkLoad, checkRows, pastDeadline, toDisplace } from "./admission.ts";
import { Estimate } from "./estimate.ts";
import {
  clientGone,
  type Job,
  JobError,
  type JobProgress,
  type JobResult,
  type JobRunner,
  type SchedulerState,
} from "./job.ts";
import { Places } from "./places.ts";
import { PlanCheck } from "./plan_check.ts";
import type { ServerSettings } from "../settings.ts";
import { Ticket } from "./ticket.ts";

/** Limits of a {@linkcode Scheduler}. */
export type SchedulerSettings = Pick<ServerSettings, "queue" | "timeout" | "maxWork">;

/** Runs jobs on an engine. */
export class Scheduler implements JobRunner {
  readonly #engine: Engine;
  readonly #settings: SchedulerSettings;
  readonly #clock: Clock;
  /** Accepted jobs that have not ended, each with the function that releases its deadline and signal. */
  readonly #tickets = new Map<Ticket, () => void>();
  /** Requests by the ids of their unfinished images, in the batch or parked. */
  readonly #images = new Map<number, Ticket>();
  readonly #places: Places;
  readonly #estimate: Estimate;
  /** Callbacks for the end of the last job. */
  readonly #onIdle = new Set<() => void>();
  #draining = false;
  /** Seconds until a failed engine may be back. */
  #backIn = 1;
  #changes = 0;

  /**
   * @param engine must have no other scheduler; listeners that must see events before clients do are added first
   * @param settings limits: queue length, timeout in seconds, and work in progress of a client
   */
  constructor(engine: Engine, settings: SchedulerSettings, clock: Clock = systemClock) {
    this.#engine = engine;
    this.#settings = settings;
    this.#clock = clock;
    this.#estimate = new Estimate(engine.rows, settings.timeout);
    if (engine.model) this.#estimate.begin(engine.model);
    this.#places = new Places({
      engine,
      estimate: this.#estimate,
      tickets: () => [...this.#tickets.keys()],
      onStart: (id, ticket) => this.#start(id, ticket),
    });
    engine.listen({
      onTurn: (turn) => this.#account(turn),
      onTurnEnd: () => {
        this.#places.rotate();
        this.#tellPositions();
      },
      onFrame: (id, step, pixels) => {
        const ticket = this.#images.get(id)!;
        this.#tell(ticket, { type: "frame", index: ticket.begun.get(id)!, step, pixels });
      },
      onImage: (id, pixels) => this.#finish(id, pixels),
      onFailed: (id, error) => this.#fail(id, error),
      onDown: (error, retryAfter) => this.#goDown(error, retryAfter),
      onUp: (model) => this.#comeUp(model),
    });
  }

  get state(): SchedulerState {
    const waiting = this.#waiting().length;
    const { images, rows } = this.#places.state;
    return {
      waiting,
      running: this.#foreground().length - waiting,
      images,
      rows,
      parked: this.#images.size - images,
      background: this.#count(({ background }) => background),
      draining: this.#draining,
    };
  }

  /**
   * Draws a job's images.
   *
   * @throws {JobError} when the job is refused or fails
   * @throws {ConfigError} when the job cannot fit: guidance with a batch of one row, more work than the limit of a client, or
   *   more than can be done before the deadline
   */
  async run(job: Job): Promise<JobResult> {
    const ticket = new Ticket(job, this.#admit(job), this.#clock.now());
    const { timeout } = this.#settings;
    const onAbort = () => this.#refuse(ticket, clientGone());
    const callOff = job.background ? () => {} : this.#clock.after(
      1000 * (job.seconds ?? timeout),
      () => this.#refuse(ticket, pastDeadline(timeout)),
    );
    job.signal.addEventListener("abort", onAbort);
    this.#tickets.set(ticket, () => {
      callOff();
      job.signal.removeEventListener("abort", onAbort);
    });
    this.#places.enter(ticket);
    this.#places.fill();
    // After `fill`, since a job that starts at once does not wait.
    const waiting = this.#waiting();
    const resting = this.#count(({ resting, background }) => resting && !background);
    const isFull = ticket.waiting && !ticket.background && waiting.length + resting > this.#settings.queue;
    if (isFull) this.#refuse(toDisplace(waiting), this.#queueFull());
    else this.#tellPositions();
    return await ticket.result;
  }

  /**
   * Refuses new, waiting and background jobs. Resolves when the running ones have ended, or after `seconds`, when the rest
   * are cancelled.
   */
  async drain(seconds: number): Promise<void> {
    this.#draining = true;
    const background = [...this.#tickets.keys()].filter(({ background }) => background);
    this.#refuseAll([...this.#waiting(), ...background], draining());
    if (this.#tickets.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const callOff = this.#clock.after(
      1000 * seconds,
      () => this.#refuseAll([...this.#tickets.keys()], draining()),
    );
    this.#onIdle.add(resolve);
    await promise;
    callOff();
  }

  /** Admits a request, or throws where it cannot be served. */
  #admit(job: Job): ServedModel {
    if (job.signal.aborted) throw clientGone();
    if (this.#draining) throw draining();
    const { model, rows } = this.#engine;
    if (!model) {
      throw new JobError(503, "engine_down", "no model is ready; the engine is restarting", this.#backIn);
    }
    if (job.background) {
      checkRows(job.draw, rows);
      return model;
    }
    const maxWork = Math.min(this.#settings.maxWork, job.maxWork ?? Infinity);
    const limits = { ...this.#settings, maxWork, rows, estimate: this.#estimate };
    checkFit(job.draw, limits);
    checkLoad(job, this.#foreground(), limits);
    return model;
  }

  #start(id: number, ticket: Ticket): void {
    const isFirst = ticket.starting;
    this.#images.set(id, ticket);
    this.#engine.add(ticket.take(id, this.#clock.now()));
    if (isFirst) this.#tell(ticket, { type: "started" });
  }

  /** Forgets an image that has ended. */
  #strike(id: number): { readonly ticket: Ticket; readonly index: number } {
    const ticket = this.#images.get(id)!;
    const index = ticket.begun.get(id)!;
    this.#places.release(id, ticket);
    this.#images.delete(id);
    ticket.begun.delete(id);
    return { ticket, index };
  }

  #account(turn: EngineTurn): void {
    this.#estimate.add(turn);
    for (const id of turn.images) {
      const ticket = this.#images.get(id);
      if (!ticket) continue; // its request has ended
      this.#places.charge(id, ticket, ticket.charge(turn.steps));
    }
  }

  #finish(id: number, pixels: Pixels): void {
    const { ticket, index } = this.#strike(id);
    const isLast = ticket.keep(index, pixels);
    this.#tell(ticket, { type: "image", index, pixels });
    if (isLast && this.#end(ticket)) ticket.resolve(this.#clock.now());
    this.#advance();
  }

  #fail(id: number, error: Error): void {
    const { ticket, index } = this.#strike(id);
    const of = ticket.job.draw.labels.length;
    const message = `image ${index + 1} of ${of} could not be drawn; the server's log says why`;
    this.#refuse(ticket, new JobError(500, "failed", message, undefined, error));
  }

  #goDown(error: Error, retryAfter: number): void {
    this.#backIn = retryAfter;
    // Waiting requests stay in the queue: the engine may be back before their deadlines.
    const lost = new Set(this.#images.values());
    const message = "the image was lost because the engine failed; it is restarting";
    this.#refuseAll(lost, new JobError(503, "engine_down", message, retryAfter, error));
    this.#advance();
  }

  #comeUp(model: ServedModel): void {
    this.#estimate.begin(model);
    // Images in progress finish with the old model.
    const concerned = [...this.#tickets.keys()].filter(({ hasMore }) => hasMore);
    const plans = new PlanCheck(model);
    const unfit = concerned.filter((ticket) => !ticket.fits(plans));
    const message =
      "the model was replaced by one that cannot draw this request as it was checked; try again";
    this.#refuseAll(unfit, new JobError(503, "engine_down", message, 1));
    for (const ticket of concerned) {
      // All images of a response come from one model.
      if (ticket.halfWay) {
        this.#removeImages(ticket);
        ticket.startOver();
      }
      ticket.model = model;
    }
    this.#advance();
  }

  #removeImages(ticket: Ticket): void {
    for (const id of [...ticket.begun.keys()]) {
      this.#strike(id);
      this.#engine.remove(id);
    }
  }

  #refuse(ticket: Ticket, error: unknown): void {
    this.#refuseAll([ticket], error);
    this.#advance();
  }

  /** Refuses several at once, so that none of them starts in place of another. */
  #refuseAll(tickets: Iterable<Ticket>, error: unknown): void {
    for (const ticket of tickets) {
      if (this.#end(ticket)) ticket.reject(error);
    }
  }

  /** Forgets a job; false if it had ended already. */
  #end(ticket: Ticket): boolean {
    const release = this.#tickets.get(ticket);
    if (!release) return false;
    release();
    this.#tickets.delete(ticket);
    this.#removeImages(ticket);
    this.#places.leave(ticket);
    if (this.#tickets.size === 0) {
      for (const onIdle of this.#onIdle) onIdle();
    }
    return true;
  }

  /** Fills free places and updates queue positions. */
  #advance(): void {
    this.#places.fill();
    this.#tellPositions();
  }

  #tellPositions(): void {
    const change = ++this.#changes;
    const waiting = this.#waiting();
    if (!waiting.some(({ job }) => job.onProgress)) return;
    for (const [position, ticket] of this.#places.sorted(waiting).entries()) {
      if (ticket.position === position) continue;
      ticket.position = position;
      this.#tell(ticket, { type: "queued", position });
      // A listener may have cancelled a request, whose nested call has then reported the rest.
      if (change !== this.#changes) return;
    }
  }

  #foreground(): Ticket[] {
    return [...this.#tickets.keys()].filter(({ background }) => !background);
  }

  #waiting(): Ticket[] {
    return this.#foreground().filter(({ waiting }) => waiting);
  }

  #count(which: (ticket: Ticket) => boolean): number {
    return [...this.#tickets.keys()].filter(which).length;
  }

  #tell(ticket: Ticket, progress: JobProgress): void {
    try {
      ticket.job.onProgress?.(progress);
    } catch (error) {
      // An error in a listener fails its own request only.
      this.#refuse(ticket, error);
    }
  }

  #queueFull(): JobError {
    const { queue } = this.#settings;
    const seconds = this.#estimate.secondsUntilIdle(this.#foreground());
    return new JobError(503, "queue_full", `the queue is full (at most ${queue} waiting requests)`, seconds);
  }
}

function draining(): JobError {
  return new JobError(503, "draining", "the server is shutting down", 1);
}
