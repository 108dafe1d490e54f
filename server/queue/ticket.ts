/**
 * State of an accepted job: its images that are pending, in the batch, parked and finished.
 *
 * @module
 */
import { givenSettings, mostSteps } from "../../lib/diffusion/sampler.ts";
import { guidanceOf } from "../../lib/diffusion/guidance.ts";
import { hasNullClass } from "../../lib/sampling/class_choice.ts";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { ImageJob, Pixels, ServedModel } from "../engine/engine.ts";
import type { Job, JobResult } from "./job.ts";
import type { PlanCheck } from "./plan_check.ts";

/** Network evaluations of a request. */
export function workOf(draw: DrawPlan): number {
  return draw.labels.length * draw.imageWork;
}

/** State of a job until it ends. */
export class Ticket {
  readonly job: Job;
  /** Network rows of each image. */
  readonly rows: number;
  /** Settles when the job ends. */
  readonly result: Promise<JobResult>;
  readonly reject: (error: unknown) => void;
  /** Model that the request was validated against and, from its first image on, that draws it. */
  model: ServedModel;
  /** Clock's time of its arrival in milliseconds. */
  readonly arrived: number;
  /** Queue position last reported. */
  position: number | undefined;
  /** Indices of its unfinished images that have joined the batch, by id. */
  readonly begun = new Map<number, number>();
  /** Ids of its parked images, first started first. */
  readonly parked = new Set<number>();
  readonly #resolve: (result: JobResult) => void;
  #startedAt: number | undefined;
  #next = 0;
  #images: Pixels[] = [];
  #finished = 0;
  #workDone = 0;

  /** @param now time of arrival in milliseconds */
  constructor(job: Job, model: ServedModel, now: number) {
    const { promise, resolve, reject } = Promise.withResolvers<JobResult>();
    this.job = job;
    this.rows = job.draw.imageRows;
    this.model = model;
    this.result = promise;
    this.reject = reject;
    this.#resolve = resolve;
    this.arrived = now;
  }

  /** Gives way to all that are not. */
  get background(): boolean {
    return this.job.background === true;
  }

  /** None of its images has joined the batch yet. */
  get waiting(): boolean {
    return this.#startedAt === undefined;
  }

  /** All its started images are parked. */
  get resting(): boolean {
    return this.parked.size > 0 && this.parked.size === this.begun.size;
  }

  /** The next image is its first, or the first after starting over. */
  get starting(): boolean {
    return this.#next === 0;
  }

  /** Some images have not joined the batch yet. */
  get hasMore(): boolean {
    return this.#next < this.job.draw.labels.length;
  }

  /** Some images have joined the batch, but not all. */
  get halfWay(): boolean {
    return this.#next > 0 && this.hasMore;
  }

  /** Network rows of all unfinished images. */
  get rowsLeft(): number {
    return this.rows * (this.job.draw.labels.length - this.#finished);
  }

  /** Remaining work, in network evaluations. */
  get workLeft(): number {
    return workOf(this.job.draw) - this.#workDone;
  }

  /**
   * Subtracts the work of an image in one or more steps: the average, since steps outside an interval of guidance take less.
   * @returns the work
   */
  charge(steps: number): number {
    const { imageWork, evaluations } = this.job.draw;
    const work = steps * imageWork / evaluations;
    this.#workDone += work;
    return work;
  }

  /** Checks that a request validated against its model is also valid for the one of `plans`. */
  fits(plans: PlanCheck): boolean {
    const { model } = plans;
    const { height, width, schedule, classes } = this.model;
    const most = ({ schedule }: ServedModel) => mostSteps(schedule, undefined, this.job.draw);
    return model.height === height && model.width === width &&
      hasNullClass(model) === hasNullClass(this.model) &&
      model.schedule.objective === schedule.objective && most(model) === most(this.model) &&
      model.classes.length === classes.length && model.classes.every((name, i) => name === classes[i]) &&
      plans.canDraw(this.job.draw, this.model);
  }

  /** Takes the next image, which joins the batch now. */
  take(id: number, now: number): ImageJob {
    const { draw, frames } = this.job;
    const { labels, seed, sampler, steps, edit } = draw;
    const index = this.#next++;
    const label = labels[index];
    if (label === undefined) throw new RangeError(`image ${index} of ${labels.length} does not exist`);
    this.#startedAt ??= now;
    this.begun.set(id, index);
    return {
      id,
      label,
      seed: seed + index,
      sampler,
      steps,
      ...givenSettings(draw),
      ...(edit ? { edit } : {}),
      ...guidanceOf(draw),
      frames,
    };
  }

  /** @returns true for the last image */
  keep(index: number, pixels: Pixels): boolean {
    this.#images[index] = pixels;
    return ++this.#finished === this.job.draw.labels.length;
  }

  /** Starts over; no image may be in progress. The request still counts as started, not as waiting. */
  startOver(): void {
    this.#next = 0;
    this.#images = [];
    this.#finished = 0;
    this.#workDone = 0;
  }

  /** Resolves with the images. */
  resolve(now: number): void {
    this.#resolve({
      model: this.model,
      images: this.#images,
      waited: (this.#startedAt! - this.arrived) / 1000,
      seconds: (now - this.arrived) / 1000,
    });
  }
}
