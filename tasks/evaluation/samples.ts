/**
 * Drawing of an evaluation's samples, in parts that are kept when it is interrupted.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { DDPM } from "../../mod.ts";
import { planSampling } from "../../lib/diffusion/sampler.ts";
import { SampleStore } from "../../lib/evaluation/sample_store.ts";
import { loadPipeline } from "../../lib/files/pipeline.ts";
import { processToDiffusers } from "../../lib/diffusion/trained_process.ts";
import { imageSize } from "../../lib/model/config.ts";
import { guidanceMetadata, samplerMetadata } from "../../lib/sampling/metadata.ts";
import { planDraw } from "../../lib/sampling/request.ts";
import type { Reporter } from "../../terminal/progress.ts";
import { type ModelFlags, type SamplerFlags, samplerOptions } from "../sampling_flags.ts";

/** Number of samples, and how they are drawn; `guide` is a path. */
export interface DrawingOptions extends SamplerFlags, Pick<ModelFlags, "variant"> {
  readonly images: number;
  /** Seed of the first sample. */
  readonly seed: number;
  /** Samples drawn at once, and stored in one part. */
  readonly batch: number;
}

/** Samples of a model. */
export interface Drawing {
  /** False if it was interrupted. */
  readonly complete: boolean;
  /** Samples that are kept. */
  readonly count: number;
  /** Bytes [count, H, W, 3]. */
  readonly images: Uint8Array;
  /** Class of each sample, in turn; null for an unconditional model. */
  readonly labels: Uint32Array | null;
  /** The model's class names. */
  readonly classes: readonly string[];
  /** SHA-256 of the model's weights. */
  readonly modelDigest: string;
  /** Sampler, spacing, steps, settings of guidance, seed and precision. */
  readonly settings: Readonly<Record<string, string | number>>;
}

/**
 * Draws samples, the classes in turn, and keeps them part by part; those that a directory has already are not drawn again.
 *
 * @param directory of the samples
 * @throws {ConfigError} for an option out of range, or if the directory has other samples
 */
export async function drawSamples(
  model: DDPM,
  directory: string,
  options: DrawingOptions,
  report: Reporter,
  signal: AbortSignal,
): Promise<Drawing> {
  const { classes } = model;
  const [height, width] = imageSize(model.config);
  const bytes = height * width * 3;
  const { images: count, seed, batch } = options;
  const chosen = given(samplerOptions(options));
  const plan = planDraw({ ...chosen, class: [sampleClass(model, 0)], seed, batch }, model);
  const settings = {
    sampler: plan.sampler,
    steps: plan.steps,
    ...samplerMetadata(plan),
    ...guidanceMetadata(plan, model),
    seed,
    precision: model.precision,
  };
  const modelDigest = await digestOfModel(model.path, options.variant);
  const forwardProcess = processToDiffusers(model.schedule);
  // Images that other coefficients drew, as an earlier version had them, are not of this request.
  const coefficients = createHash("sha256")
    .update(JSON.stringify(planSampling(plan.sampler, model.schedule, plan)))
    .digest("hex");
  const guide = options.guide === undefined ? {} : { guideWeights: await digestOfModel(options.guide) };
  const request = { model: modelDigest, ...guide, forwardProcess, coefficients, ...settings };
  const store = await SampleStore.open(directory, request, {
    ...{ bytes, part: batch, count },
  });
  const all = new Uint8Array(count * bytes);
  let [done, missing] = [0, false];
  report.start(count, "drawing samples");
  for (let part = 0; part < store.parts; part++) {
    const range = store.rangeOf(part);
    let images = await store.read(part);
    if (!images) {
      if (signal.aborted) {
        missing = true;
        break;
      }
      const own = Array.from({ length: range.count }, (_, i) => sampleClass(model, range.first + i));
      const drawn = await model.generate({
        ...chosen,
        class: own,
        count: 1,
        seed: seed + range.first,
        batch,
        onStep: (step, total) => report.update(range.first + Math.floor(range.count * step / total)),
      });
      images = drawn.pixels;
      await store.write(part, images);
    }
    all.set(images, range.first * bytes);
    done += range.count;
    report.update(done);
  }
  report.stop();
  const labels = classes.length > 0 ? Uint32Array.from({ length: done }, (_, i) => i % classes.length) : null;
  const images = all.subarray(0, done * bytes);
  return { complete: !missing, count: done, images, labels, classes, modelDigest, settings };
}

/** Class of sample `i`, the classes in turn; null for an unconditional model. */
export function sampleClass({ classes }: Pick<DDPM, "classes">, i: number): number | null {
  return classes.length > 0 ? i % classes.length : null;
}

/** True if a model's classes are a classifier's, by name and order. */
export function sameClasses(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, i) => name === b[i]);
}

/** Options that are given. */
function given<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** SHA-256 over the names and values of a model's weights. */
export async function digestOfModel(path: string, variant?: string): Promise<string> {
  const { tensors } = await loadPipeline(path, { variant, onWarning: () => {} });
  const hash = createHash("sha256");
  for (const [name, { data }] of [...tensors].sort(([a], [b]) => a < b ? -1 : 1)) {
    hash.update(`${name}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}
