/**
 * Scheduling of requests on the engine: queueing, fair order, preemption, deadlines, and the outcome of each request.
 *
 * @module
 */
import { OutOfMemory } from "../../lib/gpu/budget.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { Device, Pixels, ServedModel } from "../engine/engine.ts";
import { checkFit, checkLoad, checkRows, pastDeadline, toDisplace } from "./admission.ts";
import { FairOrder } from "./fair_order.ts";
import {
  cannotBeLoaded,
  clientGone,
  type Job,
  JobError,
  type JobProgress,
  type JobResult,
  type JobRunner,
  type LoadState,
  type SchedulerState,
} from "./job.ts";
import { Lane } from "./lane.ts";
import { PlanCheck } from "./plan_check.ts";
import { Residency } from "./residency.ts";
import type { ServerSettings } from "../settings.ts";
import { Ticket } from "./ticket.ts";
import { timeShares } from "./time_shares.ts";

/** Limits of a {@linkcode Scheduler}. */
export type SchedulerSettings = Pick<ServerSettings, "queue" | "timeout" | "maxWork">;

/** Called when models come to the device or leave it, for log and metrics. */
export interface ResidencyEvents {
  /** @param bytes of device memory that it takes */
  readonly onLoaded?: (name: string, seconds: number, bytes: number) => void;
  readonly onEvicted?: (name: string) => void;
  readonly onLoadFailed?: (name: string, error: Error) => void;
}

/**
 * Seconds for which requests are refused for a model that could not be loaded, before it is tried again; doubled each time that
 * it has ended the engine, up to a maximum.
 */
const FAILED_SECONDS = 10;
const MOST_FAILED_SECONDS = 600;

/** Runs jobs on the models of a device. */
export class Scheduler implements JobRunner {
  readonly #settings: SchedulerSettings;
  readonly #clock: Clock;
  readonly #events: ResidencyEvents;
  /** By the name of the model; the first is the default. */
  readonly #lanes: ReadonlyMap<string, Lane>;
  /** Accepted jobs that have not ended, each with the function that releases its deadline and signal. */
  readonly #tickets = new Map<Ticket, () => void>();
  readonly #residency: Residency;
  /** Weights of the models as last set. */
  #shares: number[] = [];
  /** Callbacks for the end of the last job. */
  readonly #onIdle = new Set<() => void>();
  #draining = false;
  /** Seconds until a failed engine may be back. */
  #backIn = 1;
  #changes = 0;

  /**
   * @param device must have no other scheduler; listeners that must see events before clients do are added first
   * @param settings limits: queue length, timeout in seconds, and work in progress of a client
   */
  constructor(
    device: Pick<Device, "models" | "memory">,
    settings: SchedulerSettings,
    clock: Clock = systemClock,
    events: ResidencyEvents = {},
  ) {
    this.#settings = settings;
    this.#clock = clock;
    this.#events = events;
    const orders = { foreground: new FairOrder<Ticket>(), background: new FairOrder<Ticket>() };
    let lastId = 0;
    const lanes = device.models.map((engine) =>
      new Lane({
        engine,
        timeout: settings.timeout,
        orders,
        nextId: () => ++lastId,
        onStart: (lane, id, ticket) => this.#start(lane, id, ticket),
      })
    );
    this.#lanes = new Map(lanes.map((lane) => [lane.engine.name, lane]));
    this.#residency = new Residency({
      lanes,
      memory: () => device.memory,
      clock,
      evacuate: (lane) => this.#evacuate(lane),
      onLoaded: ({ engine }, seconds) => events.onLoaded?.(engine.name, seconds, engine.bytes ?? 0),
      onEvicted: ({ engine }) => events.onEvicted?.(engine.name),
      onFailed: (lane, error, repeated) => this.#refuseModel(lane, error, repeated),
    });
    for (const lane of lanes) this.#listen(lane);
  }

  #listen(lane: Lane): void {
    lane.engine.listen({
      onTurn: (turn) => lane.account(turn),
      onTurnEnd: () => {
        lane.places.rotate();
        this.#shareTime();
        this.#tellPositions(lane);
      },
      onFrame: (id, step, pixels) => {
        const ticket = lane.images.get(id)!;
        this.#tell(ticket, { type: "frame", index: ticket.begun.get(id)!, step, pixels });
      },
      onImage: (id, pixels) => this.#finish(lane, id, pixels),
      onFailed: (id, error) => this.#fail(lane, id, error),
      onDown: (error, retryAfter) => this.#goDown(lane, error, retryAfter),
      onUp: (model) => this.#comeUp(lane, model),
      onDescribed: (model) => this.#comeUp(lane, model),
    });
  }

  get state(): SchedulerState {
    const total = { waiting: 0, running: 0, images: 0, rows: 0, parked: 0, background: 0 };
    for (const { state } of this.#lanes.values()) {
      for (const key of Object.keys(total) as (keyof LoadState)[]) total[key] += state[key];
    }
    return { ...total, draining: this.#draining };
  }

  get models(): ReadonlyMap<string, LoadState> {
    return new Map([...this.#lanes].map(([name, { state }]) => [name, state]));
  }

  /**
   * Draws a job's images.
   *
   * @throws {JobError} when the job is refused or fails
   * @throws {ConfigError} when the job cannot fit: guidance with a batch of one row, more work than the limit of a client, or
   *   more than can be done before the deadline
   */
  async run(job: Job): Promise<JobResult> {
    const lane = this.#laneOf(job);
    const ticket = new Ticket(job, this.#admit(job, lane), this.#clock.now());
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
    lane.tickets.add(ticket);
    if (!ticket.background) lane.usedAt = this.#clock.now();
    lane.places.enter(ticket);
    this.#fill();
    // After `fill`, since a job that starts at once does not wait.
    const waiting = this.#waiting();
    const resting = this.#count(({ resting, background }) => resting && !background);
    const isFull = ticket.waiting && !ticket.background && waiting.length + resting > this.#settings.queue;
    if (isFull) this.#refuse(toDisplace(waiting), this.#queueFull(lane));
    else this.#tellPositions(lane);
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

  #laneOf({ model }: Pick<Job, "model">): Lane {
    const lane = model === undefined ? this.#lanes.values().next().value : this.#lanes.get(model);
    if (!lane) throw new RangeError(`no model has the name ${model}`);
    return lane;
  }

  /** Admits a request, or throws where it cannot be served. */
  #admit(job: Job, { engine: { model, rows }, estimate, foreground, refusal }: Lane): ServedModel {
    if (job.signal.aborted) throw clientGone();
    if (this.#draining) throw draining();
    if (!model) {
      throw new JobError(503, "engine_down", "no model is ready; the engine is restarting", this.#backIn);
    }
    if (refusal) throw refusal;
    if (job.background) {
      checkRows(job.draw, rows);
      return model;
    }
    const maxWork = Math.min(this.#settings.maxWork, job.maxWork ?? Infinity);
    const limits = { ...this.#settings, maxWork, rows, estimate };
    checkFit(job.draw, limits);
    checkLoad(job, this.#foreground(), limits, foreground);
    return model;
  }

  #start(lane: Lane, id: number, ticket: Ticket): void {
    const isFirst = ticket.starting;
    lane.start(id, ticket, this.#clock.now());
    if (isFirst) this.#tell(ticket, { type: "started" });
  }

  #finish(lane: Lane, id: number, pixels: Pixels): void {
    const { ticket, index } = lane.strike(id);
    const isLast = ticket.keep(index, pixels);
    this.#tell(ticket, { type: "image", index, pixels });
    if (isLast && this.#end(ticket)) ticket.resolve(this.#clock.now());
    this.#advance(lane);
  }

  #fail(lane: Lane, id: number, error: Error): void {
    const { ticket, index } = lane.strike(id);
    const of = ticket.job.draw.labels.length;
    const message = `image ${index + 1} of ${of} could not be drawn; the server's log says why`;
    this.#refuse(ticket, new JobError(500, "failed", message, undefined, error));
  }

  #goDown(lane: Lane, error: Error, retryAfter: number): void {
    this.#backIn = retryAfter;
    this.#shares = []; // a new worker does not know them
    // Waiting requests stay in the queue: the engine may be back before their deadlines.
    const lost = new Set(lane.images.values());
    const message = "the image was lost because the engine failed; it is restarting";
    this.#refuseAll(lost, new JobError(503, "engine_down", message, retryAfter, error));
    this.#advance(lane);
  }

  /** Handles a model that is on the device, or was read again. */
  #comeUp(lane: Lane, model: ServedModel): void {
    lane.estimate.begin(model);
    // Images in progress finish with the old model.
    const concerned = [...lane.tickets].filter(({ hasMore }) => hasMore);
    const plans = new PlanCheck(model);
    const unfit = concerned.filter((ticket) => !ticket.fits(plans));
    const message =
      "the model was replaced by one that cannot draw this request as it was checked; try again";
    this.#refuseAll(unfit, new JobError(503, "engine_down", message, 1));
    for (const ticket of concerned) {
      // All images of a response come from one model.
      if (ticket.halfWay) {
        lane.removeImages(ticket);
        ticket.startOver();
      }
      ticket.model = model;
    }
    this.#advance(lane);
  }

  /** Background jobs start over when the model is back. */
  #evacuate(lane: Lane): void {
    for (const ticket of lane.tickets) {
      lane.removeImages(ticket);
      ticket.startOver();
    }
  }

  /** Refuses the requests for a model that cannot be loaded, for a while. */
  #refuseModel(lane: Lane, error: Error, repeated: number): void {
    const { name } = lane.engine;
    const message = error instanceof OutOfMemory
      ? `the model ${name} does not fit into the device's memory: ${error.message}`
      : cannotBeLoaded(lane.engine);
    const seconds = Math.min(MOST_FAILED_SECONDS, FAILED_SECONDS * 2 ** repeated);
    lane.refusal = new JobError(503, "model_failed", message, seconds, error);
    this.#clock.after(1000 * seconds, () => {
      lane.refusal = undefined;
      this.#advance(lane);
    });
    this.#events.onLoadFailed?.(name, error);
    this.#refuseAll([...lane.tickets], lane.refusal);
  }

  #refuse(ticket: Ticket, error: unknown): void {
    this.#refuseAll([ticket], error);
    this.#advance(this.#laneOf(ticket.job));
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
    const lane = this.#laneOf(ticket.job);
    lane.removeImages(ticket);
    lane.places.leave(ticket);
    lane.tickets.delete(ticket);
    if (!ticket.background) lane.usedAt = this.#clock.now();
    if (this.#tickets.size === 0) {
      for (const onIdle of this.#onIdle) onIdle();
    }
    return true;
  }

  /** Fills free places and updates queue positions. */
  #advance(lane: Lane): void {
    this.#fill();
    this.#tellPositions(lane);
  }

  /** Loads models that are waited for, and fills free places of those on the device. */
  #fill(): void {
    this.#residency.update();
    for (const { places } of this.#lanes.values()) places.fill();
    this.#shareTime();
  }

  /** Divides the device's time between the models. */
  #shareTime(): void {
    if (this.#lanes.size < 2) return;
    const lanes = [...this.#lanes.values()];
    const shares = timeShares(
      lanes.map(({ places }) => ({ rowsByClient: places.rowsByClient, images: places.state.images })),
    );
    const sum = shares.reduce((sum, share) => sum + share, 0);
    for (const [i, { engine, estimate }] of lanes.entries()) {
      const share = shares[i]!; // one for each
      if (share === 0) {
        estimate.share = 1;
        continue;
      }
      estimate.share = share / sum;
      if (share !== this.#shares[i]) engine.share(share);
      this.#shares[i] = share;
    }
  }

  #tellPositions({ places, waiting }: Lane): void {
    const change = ++this.#changes;
    if (!waiting.some(({ job }) => job.onProgress)) return;
    for (const [position, ticket] of places.sorted(waiting).entries()) {
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

  #queueFull({ estimate, foreground }: Lane): JobError {
    const { queue } = this.#settings;
    const seconds = estimate.secondsUntilIdle(foreground);
    return new JobError(503, "queue_full", `the queue is full (at most ${queue} waiting requests)`, seconds);
  }
}

function draining(): JobError {
  return new JobError(503, "draining", "the server is shutting down", 1);
}
