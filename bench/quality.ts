/**
 * Tables of quality: samplers and training recipes, as the files in `bench/results/quality/` have them.
 *
 * @module
 */
import { z } from "zod";
import { samplerNames, spacingNames } from "../lib/diffusion/sampler.ts";
import { ConfigError } from "../lib/errors.ts";
import { PRESETS } from "../lib/model/presets.ts";
import { fileProblem } from "../lib/files/durable.ts";
import { parseJsonAs } from "./report_file.ts";

const COUNT = z.int().nonnegative();
/** A measure, and its standard error over the images; null for too few of them. */
const MEASURE = z.object({ value: z.number(), error: z.number().nullable() });

const MEASURES = z.object({
  images: COUNT,
  frechetDistance: MEASURE,
  kernelDistance: MEASURE,
  classConsistency: MEASURE.nullable(),
});

const PLAN = z.object({
  sampler: z.enum(samplerNames),
  spacing: z.enum(spacingNames),
  steps: COUNT,
  evaluations: COUNT,
});

/** A plan and its guidance. */
const GUIDED_PLAN = z.object({
  ...PLAN.shape,
  guidance: z.number(),
  /** Part of the guided output whose contrast is scaled back. */
  guidanceRescale: z.number(),
  /** Ratios of noise to signal with guidance; null for all, and as upper end for infinity. */
  guidanceInterval: z.tuple([z.number(), z.number().nullable()]).nullable(),
});

/** Share of the pixels' values at an end of their range, 0 or 255: high in burnt-out images. */
const SATURATED = z.number();

const CELL = z.object({
  ...GUIDED_PLAN.shape,
  ...MEASURES.shape,
  saturated: SATURATED,
  /** Root mean square difference of pixels, in [-1, 1], to the solution with many steps; null for samplers that add noise. */
  solutionError: z.number().nullable(),
});

const TIME = z.object({ ...GUIDED_PLAN.shape, images: COUNT, seconds: z.number() });

const HEAD = z.object({
  environment: z.object({
    adapter: z.string(),
    driver: z.string(),
    deno: z.string(),
    threads: COUNT,
    date: z.string(),
  }),
  /** Version of the package. */
  version: z.string(),
  /** Command lines that made the table, the first one first. */
  commands: z.array(z.string()),
  /** SHA-256 of the classifier's weights. */
  classifier: z.string(),
  /** Images compared with. */
  data: z.object({ name: z.string(), digest: z.string(), images: COUNT }),
  seed: COUNT,
});

const SAMPLERS = z.object({
  ...HEAD.shape,
  model: z.object({ path: z.string(), digest: z.string() }),
  /** The solution with many steps and each cell's own guidance; null where it was not drawn. */
  solution: z.object({ ...PLAN.shape, images: COUNT }).nullable(),
  cells: z.array(CELL),
  /** Test images, as many as a cell has. */
  testImages: z.array(z.object({ ...MEASURES.shape, saturated: SATURATED })),
  times: z.array(TIME),
});

const RECIPES = z.object({
  ...HEAD.shape,
  preset: z.enum([...PRESETS, "custom"]),
  steps: COUNT,
  batch: COUNT,
  sampling: z.object({ guidance: z.number(), evaluations: COUNT }),
  /** Ratios of noise to signal of `x0Errors`, and the number of test images. */
  denoising: z.object({ sigmas: z.array(z.number()), images: COUNT }),
  recipes: z.array(z.object({
    name: z.string(),
    /** Settings that differ from the defaults. */
    settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    ...PLAN.shape,
    ...MEASURES.shape,
    /** Mean squared error of the estimate of x_0 at each sigma. */
    x0Errors: z.array(z.number()),
  })),
  testImages: MEASURES,
});

const EVALUATED = z.looseObject({
  images: COUNT,
  frechetDistance: z.number(),
  kernelDistance: z.looseObject({ mean: z.number() }),
  classConsistency: z.number().nullable(),
});

/** Fields of `evaluation.json` of `deno task evaluate`. */
const EVALUATION = z.looseObject({
  model: z.looseObject({ path: z.string(), digest: z.string() }),
  settings: z.record(z.string(), z.union([z.string(), z.number()])),
  adapter: z.string(),
  command: z.string(),
  likelihood: z.looseObject({
    images: COUNT,
    bitsPerDimension: z.number(),
    standardError: z.number().nullable(),
  }).optional(),
  samples: EVALUATED,
  testImages: EVALUATED,
});

/** Head of a table: where and with what it was made. */
export type QualityHead = z.infer<typeof HEAD>;
/** Measures of a set of images. */
export type QualityMeasures = z.infer<typeof MEASURES>;
/** Sampler, spacing and steps of a cell, and the network evaluations that they take. */
export type CellPlan = z.infer<typeof PLAN>;
/** A plan with its guidance. */
export type GuidedPlan = z.infer<typeof GUIDED_PLAN>;
/** Images of one sampler at a number of steps. */
export type SamplerCell = z.infer<typeof CELL>;
/** Samplers compared with one model. */
export type SamplerTable = z.infer<typeof SAMPLERS>;
/** Training recipes compared at equal compute. */
export type RecipeTable = z.infer<typeof RECIPES>;
/** Result of `deno task evaluate`. */
export type ModelEvaluation = z.infer<typeof EVALUATION>;

/** True if both are the same sampler at the same steps, with the same guidance. */
export function samePlan(a: GuidedPlan, b: GuidedPlan): boolean {
  return a.sampler === b.sampler && a.spacing === b.spacing && a.steps === b.steps &&
    describeGuidance(a) === describeGuidance(b);
}

/** Guidance in words: `2, rescaled 0.7, from 0.3 to 5`. */
export function describeGuidance({ guidance, guidanceRescale, guidanceInterval }: GuidedPlan): string {
  const rescaled = guidanceRescale === 0 ? "" : `, rescaled ${guidanceRescale}`;
  if (!guidanceInterval) return `${guidance}${rescaled}`;
  const [above, upTo] = guidanceInterval;
  return `${guidance}${rescaled}, from ${above}${upTo === null ? "" : ` to ${upTo}`}`;
}

/**
 * Reads a file of {@linkcode SamplerTable}; undefined if it does not exist.
 * @throws {ConfigError} if it is another file
 */
export async function readSamplerTable(path: string | URL): Promise<SamplerTable | undefined> {
  return await readTable(path, SAMPLERS);
}

/**
 * Reads a file of {@linkcode RecipeTable}; undefined if it does not exist.
 * @throws {ConfigError} if it is another file
 */
export async function readRecipeTable(path: string | URL): Promise<RecipeTable | undefined> {
  return await readTable(path, RECIPES);
}

/**
 * Reads an `evaluation.json`; undefined if it does not exist.
 * @throws {ConfigError} if it is another file
 */
export async function readEvaluation(path: string | URL): Promise<ModelEvaluation | undefined> {
  return await readTable(path, EVALUATION);
}

async function readTable<T>(path: string | URL, schema: z.ZodType<T>): Promise<T | undefined> {
  const refuse = (why: string) =>
    new ConfigError("out", String(path), `a file that \`deno task quality\` or \`evaluate\` wrote (${why})`);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw refuse(fileProblem(error));
  }
  const parsed = parseJsonAs(text, schema);
  if ("problem" in parsed) throw refuse(parsed.problem);
  return parsed.value;
}
