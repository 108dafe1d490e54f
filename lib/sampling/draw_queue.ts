/**
 * Requests for images, drawn one after the other with one generator.
 *
 * @module
 */
import { networkRows } from "../diffusion/guidance.ts";
import type { PlannedStep } from "../diffusion/sampler.ts";
import type { DeviceModel } from "./device_model.ts";
import { type Drawn, type DrawOptions, Generator, generatorRows, type StepImages } from "./generator.ts";
import type { SlotPicture } from "./slots/slot_buffers.ts";
import type { SlotImage } from "./slot_image.ts";

/** Draws requests in order. The generator is kept while its batch suits them. */
export class DrawQueue {
  readonly #model: DeviceModel;
  #generator: Generator | undefined;
  /** Settles when all requests so far are done. */
  #idle: Promise<unknown> = Promise.resolve();

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
   * Draws after all earlier requests, step by step; later ones wait until the loop over the steps has ended, or is left.
   *
   * @param of see {@linkcode Generator.steps}
   * @throws {DeviceError} if the batch does not fit into device memory
   */
  async *steps(
    images: readonly SlotImage[],
    plan: readonly PlannedStep[],
    of: SlotPicture["of"],
  ): AsyncGenerator<StepImages, void> {
    const earlier = this.#idle;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle = promise;
    try {
      await earlier;
      const generator = await this.#generatorFor(images.length, this.#rowsOf(images), plan.length);
      yield* generator.steps(images, plan, of);
    } finally {
      resolve();
    }
  }

  #rowsOf(images: readonly SlotImage[]): number {
    return Math.max(...images.map((image) => networkRows(image, this.#model.guide !== undefined)));
  }

  /** Waits for pending requests, then frees the generator. */
  async close(): Promise<void> {
    await this.#idle;
    this.#generator?.destroy();
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
    return this.#generator = await Generator.build(gpu, { ...network, slots, imageRows, target });
  }
}
