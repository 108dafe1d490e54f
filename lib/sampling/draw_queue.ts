/**
 * Requests for images, drawn one after the other with one generator.
 *
 * @module
 */
import { networkRows } from "../diffusion/guidance.ts";
import type { PlannedStep } from "../diffusion/sampler.ts";
import { DeviceError } from "../errors.ts";
import type { DeviceModel } from "./device_model.ts";
import { type Drawn, type DrawOptions, Generator, generatorRows, type StepImages } from "./generator.ts";
import type { SlotPicture } from "./slots/slot_buffers.ts";
import type { SlotImage } from "./slot_image.ts";

/** The error of a request to a closed model. */
export function modelClosed(): DeviceError {
  return new DeviceError("this model was closed; load it again to draw more");
}

/** A loop over the steps of a request. */
interface Loop {
  readonly generator: Generator;
  /** Settles when its step in progress is done. */
  step: Promise<unknown>;
}

/** Draws requests in order. The generator is kept while its batch suits them. */
export class DrawQueue {
  readonly #model: DeviceModel;
  #generator: Generator | undefined;
  /** Settles when all requests so far are done. */
  #idle: Promise<unknown> = Promise.resolve();
  readonly #loops = new Set<Loop>();
  #closed = false;

  constructor(model: DeviceModel) {
    this.#model = model;
  }

  /**
   * Draws after all earlier requests, which use the same buffers.
   *
   * @param slots images per batch
   * @throws {DeviceError} if the batch does not fit into device memory
   */
  draw(
    slots: number,
    images: readonly SlotImage[],
    plan: readonly PlannedStep[],
    options: DrawOptions,
  ): Promise<Drawn> {
    const imageRows = this.#rowsOf(images);
    const drawn = this.#idle.then(async () => {
      const passes = plan.length * Math.ceil(images.length / slots);
      const generator = await this.#generatorFor(slots, imageRows, passes);
      return await generator.draw(images, plan, options);
    });
    this.#idle = drawn.catch(() => {});
    return drawn;
  }

  /**
   * Draws step by step, with a generator of its own between the first step and the last: other requests can be drawn
   * meanwhile.
   *
   * @param of see {@linkcode Generator.steps}
   * @throws {DeviceError} if the batch does not fit into device memory, or the queue was closed since the step before
   */
  async *steps(
    images: readonly SlotImage[],
    plan: readonly PlannedStep[],
    of: SlotPicture["of"],
  ): AsyncGenerator<StepImages, void> {
    const building = this.#idle.then(async () => {
      const generator = await this.#generatorFor(images.length, this.#rowsOf(images), plan.length);
      this.#generator = undefined;
      return generator;
    });
    this.#idle = building.catch(() => {});
    const generator = await building;
    const loop: Loop = { generator, step: Promise.resolve() };
    this.#loops.add(loop);
    try {
      const steps = generator.steps(images, plan, of);
      while (true) {
        if (this.#closed) throw modelClosed();
        const step = steps.next();
        loop.step = step.catch(() => {});
        const { done, value } = await step;
        if (done) return;
        yield value;
      }
    } finally {
      if (this.#loops.delete(loop)) this.#giveBack(generator);
    }
  }

  /** Keeps a generator for later requests, if there is no other. */
  #giveBack(generator: Generator): void {
    if (this.#closed || this.#generator) generator.destroy();
    else this.#generator = generator;
  }

  /** Keeps a new generator in place of one that a loop gave back while it was built. */
  #keep(built: Generator): void {
    this.#generator?.destroy();
    this.#generator = built;
  }

  #rowsOf(images: readonly SlotImage[]): number {
    return Math.max(...images.map((image) => networkRows(image, this.#model.guide !== undefined)));
  }

  /** Waits for pending requests, and for the steps that are being drawn, then frees the generators. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#idle;
    this.#generator?.destroy();
    const loops = [...this.#loops];
    this.#loops.clear();
    for (const { generator, step } of loops) {
      await step;
      generator.destroy();
    }
  }

  /**
   * The cached generator, or a new one if slots or rows differ; the old one is freed first.
   *
   * @param passes network passes expected of a new one
   */
  async #generatorFor(slots: number, imageRows: number, passes: number): Promise<Generator> {
    const cached = this.#generator;
    if (cached?.slots === slots && cached.imageRows === imageRows) return cached;
    this.#generator = undefined;
    cached?.destroy();
    const { gpu, network } = this.#model;
    const target = await this.#model.kernelsFor([generatorRows({ slots, imageRows })], passes);
    const built = await Generator.build(gpu, { ...network, slots, imageRows, target });
    this.#keep(built);
    return built;
  }
}
