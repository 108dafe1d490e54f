/**
 * Query parameters: schemas, validation, and their description in `/openapi.json`.
 *
 * @module
 */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { mostSteps, samplerNames, spacingNames, variances } from "../../lib/diffusion/sampler.ts";
import { MAX_GUIDANCE } from "../../lib/diffusion/guidance.ts";
import { MAX_TIMESTEPS } from "../../lib/diffusion/schedule.ts";
import { outputFormats } from "./accept.ts";
import { MAX_SCALE } from "../../lib/image/grid.ts";
import { ANY_CLASS } from "../../lib/sampling/class_choice.ts";
import { INTERVAL_WORDS, parseInterval } from "../../lib/sampling/guidance_interval.ts";
import { DEFAULT_STEPS } from "../../lib/sampling/request.ts";
import { withSuggestion } from "../../lib/suggest.ts";
import type { ApiKey } from "../keys/api_key.ts";
import type { Asker } from "../pictures/picture_worker.ts";
import type { ServerContext } from "./context.ts";
import type { Deadline } from "./deadline.ts";
import { guidanceWords, RESCALE_RANGE } from "./guidance.ts";
import { fieldProblems, unknownFields } from "./field_problems.ts";
import { ProblemError } from "./problem.ts";

/** Hono environment of the routes. */
export interface AppEnv {
  /** Connection info of `Deno.serve`. */
  Bindings: { readonly remoteAddr?: { readonly hostname?: string } } | undefined;
  Variables: {
    requestId: string;
    /** The key, where there is one, else the address. */
    client: string;
    key?: ApiKey;
    deadline: Deadline;
    /** Name of the model that the request has chosen. */
    model?: string;
  };
}

/** The server's application. */
export type App = OpenAPIHono<AppEnv>;

/** OpenAPI description of a parameter. */
interface ParameterFacts {
  readonly type: "integer" | "number" | "string";
  readonly description: string;
  readonly example?: string | number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: string[];
}

/**
 * Schema of a parameter given as text. The text itself is validated, since `Number` accepts "", " 7 " and "0x10".
 *
 * Return types here and below are inferred from zod, so that routes see the types that the schemas check.
 *
 * @param describe describes the allowed values, for error messages about the text
 * @param read parses the text; undefined if it is invalid
 */
function parameter<T>(
  describe: (given?: string) => string,
  read: (text: string) => T | undefined,
  facts: ParameterFacts,
) {
  const once = (issue: { input?: unknown }) => Array.isArray(issue.input) ? "a single value" : describe();
  return z.string({ error: once }).transform((text, context): T => {
    const value = read(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: describe(text) });
    return z.NEVER;
  }).openapi({ ...facts });
}

/** @param most the maximum at the time of the request, for error messages */
function whole(
  minimum: number,
  maximum: number,
  description: string,
  example?: number,
  most: () => number = () => maximum,
) {
  const read = (text: string) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    return value >= minimum && value <= maximum ? value : undefined;
  };
  const describe = () => `a whole number from ${minimum} to ${most()}`;
  return parameter(describe, read, { type: "integer", minimum, maximum, description, example }).optional();
}

function decimal(minimum: number, maximum: number, description: string, example?: number) {
  const read = (text: string) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
    return value >= minimum && value <= maximum ? value : undefined;
  };
  const describe = () => `a decimal number from ${minimum} to ${maximum}`;
  return parameter(describe, read, { type: "number", minimum, maximum, description, example }).optional();
}

function word<const T extends string>(words: readonly T[], description: string) {
  const describe = (given = "") => withSuggestion(`one of ${words.join(", ")}`, given, words);
  const read = (text: string) => words.find((word) => word === text);
  return parameter(describe, read, { type: "string", enum: [...words], description }).optional();
}

/** Largest churn; with fewer steps than twice as many, more is the same. */
export const MOST_CHURN = 100_000;

/** What the ranges of a request depend on. */
export type RangeContext = Pick<ServerContext, "device" | "settings">;

/** Maximum steps of a request now: the server's limit or, once all models are known, the largest of theirs if smaller. */
export function mostStepsNow({ device, settings: { maxSteps } }: RangeContext): number {
  return Math.max(
    ...device.models.map(({ model }) => model ? mostSteps(model.schedule, maxSteps) : maxSteps),
  );
}

/** Schema of a parameter that chooses a model. */
export function modelParameter() {
  return parameter(() => "the name of a model", (text) => text, {
    type: "string",
    description: "Name of the model, see /models. Default: the server's first.",
  }).optional();
}

/** The parameters of a request for images. */
function drawParameters(context: RangeContext) {
  const { maxImages, maxSteps, maxWork, timeout, sampler, steps, guidance } = context.settings;
  return {
    class: parameter(() => "a class", (text) => text, {
      type: "string",
      description: "Class name (any case) or index; `none` for unconditional; " +
        `\`${ANY_CLASS}\` (default) chooses by seed: image i has class (seed + i) mod classes; ` +
        "`cat:0.6,dog:0.4` is a mixture with these weights.",
      example: "cat",
    }).optional(),
    model: modelParameter(),
    count: whole(
      1,
      maxImages,
      "Number of images. Image i equals a single image drawn with seed + i. Default 1.",
      1,
    ),
    steps: whole(
      1,
      maxSteps,
      `Sampling steps, for heun and edm of two network evaluations each. Default ${
        steps ?? `${DEFAULT_STEPS} evaluations, for ddpm all of the model's`
      }. ` +
        `Network evaluations of all images, doubled with guidance, are limited to ${maxWork} and to what takes ${timeout} seconds.`,
      20,
      () => mostStepsNow(context),
    ),
    sampler: word(samplerNames, `Sampler. Default ${sampler ?? "that of the model, see /models"}.`),
    spacing: word(
      spacingNames,
      "Spacing of the noise levels. Default depends on the sampler and the model; leading, trailing, linspace and " +
        "quadratic need a model with timesteps.",
    ),
    guidance: decimal(
      0,
      MAX_GUIDANCE,
      `Classifier-free guidance scale; 1 disables it. Default ${
        guidance ?? 2
      }; 1 without a class or if the model does not support guidance.`,
      2,
    ),
    negative_class: parameter(() => "a class", (text) => text, {
      type: "string",
      description: guidanceWords.negative_class,
      example: "dog",
    }).optional(),
    guidance_rescale: decimal(...RESCALE_RANGE, guidanceWords.guidance_rescale, 0.7),
    guidance_interval: parameter(() => INTERVAL_WORDS, parseInterval, {
      type: "string",
      description: guidanceWords.guidance_interval,
      example: "0.2,2",
    }).optional(),
    eta: decimal(0, 1, "Noise of ddim, from 0 (deterministic) to 1 (as ddpm). Default 0."),
    variance: word(variances, "Variance of ddpm's noise. Default that of the model's configuration."),
    churn: decimal(0, MOST_CHURN, "Noise that edm adds back (S_churn). Default 0."),
    seed: whole(
      0,
      Number.MAX_SAFE_INTEGER - maxImages,
      "The same seed and parameters give the same bytes. Default: random, returned in the response.",
      7,
    ),
    scale: whole(1, MAX_SCALE, "Integer upscaling factor. Default 1.", 8),
  };
}

/** Parameters of `GET /generate`. */
export function generateParameters(context: RangeContext) {
  return z.strictObject({
    ...drawParameters(context),
    format: word(
      outputFormats,
      "Format of the response: a picture (a grid of several images), `gif` to animate the sampling, `json` for all " +
        "images in base64. Default: chosen by the Accept header, png if it has no preference.",
    ),
  });
}

/** Parameters of `GET /generate/stream`. */
export function streamParameters(context: RangeContext) {
  return z.strictObject({
    ...drawParameters(context),
    every: whole(
      1,
      MAX_TIMESTEPS,
      "Steps between previews. Default: spaced for eight previews.",
      5,
    ),
  });
}

/**
 * Parses the query parameters of a request.
 *
 * @throws {ProblemError} 400 naming every parameter that is invalid, unknown or repeated
 */
export function readQuery<S extends z.ZodObject>(c: Context, schema: S): z.output<S> {
  const parameters = new URL(c.req.url).searchParams;
  const given: Record<string, string | string[]> = Object.fromEntries(
    [...new Set(parameters.keys())].map((name) => {
      const values = parameters.getAll(name);
      const [value, ...others] = values;
      return [name, value !== undefined && others.length === 0 ? value : values];
    }),
  );
  const { success, data, error } = schema.safeParse(given);
  if (success) return data;
  throw fieldProblems(error.issues, given, schema);
}

/**
 * Refuses the query of a route that takes its parameters in the body: it would change nothing.
 *
 * @param fields names of the body's fields
 * @param meaningless parameters that clients send and that need not change anything
 * @throws {ProblemError} 400 naming every parameter
 */
export function refuseQuery(
  c: Context,
  fields: readonly string[] = [],
  meaningless: readonly string[] = [],
): void {
  const given = [...new URL(c.req.url).searchParams].filter(([name]) => !meaningless.includes(name));
  if (given.length === 0) return;
  const inBody = given.filter(([name]) => fields.includes(name));
  const others = given.filter(([name]) => !fields.includes(name));
  throw ProblemError.fields([
    ...inBody.map(([field, value]) => ({ field, value, allowed: "in the body, not in the query" })),
    ...unknownFields(others, fields, fields.length > 0 ? "in the body, " : ""),
  ]);
}

/** URI of the request's id, which is also in the response headers and the log. */
export function instanceOf(c: Context<AppEnv>): string {
  return `urn:denoise:request:${c.var.requestId}`;
}

/** Client of a request, whether it is still there, and the time that it leaves. */
export function askerOf(c: Context<AppEnv>): Asker {
  const { client, key, deadline } = c.var;
  const { work: maxWork } = key?.limits ?? {};
  return { client, signal: c.req.raw.signal, seconds: deadline.secondsLeft, ...(maxWork && { maxWork }) };
}
