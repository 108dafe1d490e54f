/**
 * Requests for images, drawn one after the other with one generator.
 *
 * @module
 */
import { networkRows } from "../diffusion/guidance.ts";
import type { PlannedStep } from "../diffusion/sampler.ts";
import type { DeviceModel } from "./device_model.ts";
import { type Drawn, type DrawOptions, Generator, generatorRows } from "./generator.ts";
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
    const imageRows = Math.max(...images.map((image) => networkRows(image, this.#model.guide !== undefined)));
    const drawn = this.#idle.then(async () => {
      const passes = plan.length * Math.ceil(images.length / slots);
      const generator = await this.#generatorFor(slots, imageRows, passes);
      return await generator.draw(images, plan, options);
    });
    this.#idle = drawn.catch(() => {});
    return drawn;
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
