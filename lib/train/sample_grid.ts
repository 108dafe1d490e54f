/**
 * The images drawn after an epoch: a row for each class, with the same seeds every time.
 *
 * @module
 */
import { Generator, type ImageRequest } from "../diffusion/generator.ts";
import { planSampling } from "../diffusion/sampler.ts";
import { NoiseSchedule } from "../diffusion/schedule.ts";
import type { Gpu } from "../gpu/device.ts";
import type { ResourceScope } from "../gpu/memory.ts";
import { Images } from "../image/images.ts";
import { classCount, imageSize } from "../model/config.ts";
import type { SamplesEvent } from "./events.ts";
import type { Surroundings } from "./options.ts";
import { scheduleOf, type TrainSettings } from "./settings.ts";

/** Images drawn at once. */
const SLOTS = 80;
/** Rows where there are no classes. */
const ROWS = 4;

/** Draws a run's grids, and keeps the generator from one to the next. */
export class SampleGrid {
  readonly #gpu: Gpu;
  readonly #scope: ResourceScope;
  readonly #settings: TrainSettings;
  readonly #weights: GPUBuffer;
  readonly #options: Surroundings;
  #generator: Generator | undefined;

  /**
   * @param scope frees what this makes
   * @param weights what to draw with, laid out as `ParameterTable` says
   */
  constructor(
    gpu: Gpu,
    scope: ResourceScope,
    settings: TrainSettings,
    weights: GPUBuffer,
    options: Surroundings,
  ) {
    this.#gpu = gpu;
    this.#scope = scope;
    this.#settings = settings;
    this.#weights = weights;
    this.#options = options;
  }

  /** Draws the grid after an epoch that ended with an optimizer step. */
  async draw(epoch: number, step: number): Promise<SamplesEvent> {
    const { model, seed } = this.#settings;
    const { software } = this.#gpu.adapter;
    const { samplesPerClass = software ? 4 : 8, sampleSteps = software ? 20 : 50, guidance = 2, data } =
      this.#options;
    const classes = classCount(model);
    const rows = classes === 0 ? ROWS : classes;
    const requests = Array.from({ length: rows * samplesPerClass }, (_, i): ImageRequest => ({
      label: Math.floor(i / samplesPerClass),
      seed: (seed + i) % Number.MAX_SAFE_INTEGER,
      guidance,
    }));
    this.#generator ??= this.#scope.own(
      await Generator.build(this.#gpu, {
        config: model,
        weights: this.#weights,
        slots: Math.min(SLOTS, requests.length),
        guided: classes > 0 && guidance !== 1,
      }),
    );
    const plan = planSampling("ddim", new NoiseSchedule(scheduleOf(this.#settings)), { steps: sampleSteps });
    const drawn = await this.#generator.draw(requests, plan);
    const images = Images.fromFloats(drawn.images, requests.length, ...imageSize(model));
    const rowLabels = classes === 0 ? Array.from({ length: rows }, () => "") : data.classes;
    return { type: "samples", epoch, step, images, columns: samplesPerClass, rowLabels };
  }
}
