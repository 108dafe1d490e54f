/**
 * State of an accepted job: its images that are pending, in the batch, parked and finished.
 *
 * @module
 */
import { mostSteps } from "../../lib/diffusion/sampler.ts";
import { type DrawPlan, hasNullClass } from "../../lib/sampling/request.ts";
import { type ImageJob, type Pixels, rowsOf, type ServedModel } from "../engine/engine.ts";
import type { Job, JobResult } from "./job.ts";

/** Network rows times steps of a request. */
export function workOf(draw: DrawPlan): number {
  return draw.labels.length * rowsOf(draw) * draw.steps;
}

/** State of a job until it ends. */
export class Ticket {
  readonly job: Job;
  /** Network rows of each of its images. */
  readonly rows: 1 | 2;
  /** Ends with the job. */
  readonly result: Promise<JobResult>;
  readonly reject: (error: unknown) => void;
  /** What it was checked against and, from its first image on, what draws it. */
  model: ServedModel;
  /** Place in the queue that its listener was told last. */
  position: number | undefined;
  /** Numbers of its images that have begun and are not finished, with their indices. */
  readonly begun = new Map<number, number>();
  /** Those of them that are set aside, first begun first. */
  readonly parked = new Set<number>();
  readonly #arrived: number;
  readonly #resolve: (result: JobResult) => void;
  #startedAt: number | undefined;
  #next = 0;
  #images: Pixels[] = [];
  #finished = 0;
  #workDone = 0;

  /** @param now when it arrived, in milliseconds */
  constructor(job: Job, model: ServedModel, now: number) {
    const { promise, resolve, reject } = Promise.withResolvers<JobResult>();
    this.job = job;
    this.rows = rowsOf(job.draw);
    this.model = model;
    this.result = promise;
    this.reject = reject;
    this.#resolve = resolve;
    this.#arrived = now;
  }

  /** Whether none of its images has joined the batch yet. */
  get waiting(): boolean {
    return this.#startedAt === undefined;
  }

  /** Whether it has begun, and others have all its places for now. */
  get resting(): boolean {
    return this.parked.size > 0 && this.parked.size === this.begun.size;
  }

  /** Whether the next image is its first, or the first again. */
  get starting(): boolean {
    return this.#next === 0;
  }

  /** Whether it has images that have yet to join the batch. */
  get hasMore(): boolean {
    return this.#next < this.job.draw.labels.length;
  }

  /** Whether some images have joined the batch, and not all. */
  get halfWay(): boolean {
    return this.#next > 0 && this.hasMore;
  }

  /** Network rows of all its images that are not finished. */
  get rowsLeft(): number {
    return this.rows * (this.job.draw.labels.length - this.#finished);
  }

  /** Network rows times steps until it is done. */
  get workLeft(): number {
    return workOf(this.job.draw) - this.#workDone;
  }

  /** Some of its work was done. */
  charge(work: number): void {
    this.#workDone += work;
  }

  /** Whether what was checked against its model is as right for another. */
  fits(model: ServedModel): boolean {
    const { height, width, schedule, classes } = this.model;
    const { steps } = this.job.draw;
    return model.height === height && model.width === width &&
      hasNullClass(model) === hasNullClass(this.model) &&
      mostSteps(model.schedule) === mostSteps(schedule) && mostSteps(model.schedule, steps) === steps &&
      model.classes.length === classes.length && model.classes.every((name, i) => name === classes[i]);
  }

  /** Its next image, which joins the batch now. */
  take(id: number, now: number): ImageJob {
    const { draw: { labels, seed, sampler, steps, eta, guidance }, frames } = this.job;
    const index = this.#next++;
    const label = labels[index];
    if (label === undefined) throw new RangeError(`image ${index} of ${labels.length} does not exist`);
    this.#startedAt ??= now;
    this.begun.set(id, index);
    return { id, label, seed: seed + index, sampler, steps, eta, guidance, frames };
  }

  /** @returns whether that was the last */
  keep(index: number, pixels: Pixels): boolean {
    this.#images[index] = pixels;
    return ++this.#finished === this.job.draw.labels.length;
  }

  /** Starts over, when none of its images is under way. It has begun all the same, and does not count as waiting. */
  startOver(): void {
    this.#next = 0;
    this.#images = [];
    this.#finished = 0;
    this.#workDone = 0;
  }

  /** Hands out what was drawn. */
  resolve(now: number): void {
    this.#resolve({
      job: this.job,
      model: this.model,
      images: this.#images,
      waited: (this.#startedAt! - this.#arrived) / 1000,
      seconds: (now - this.#arrived) / 1000,
    });
  }
}
