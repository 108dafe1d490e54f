/**
 * Query parameters: schemas, validation, and their description in `/openapi.json`.
 *
 * @module
 */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { samplerNames } from "../../lib/diffusion/sampler.ts";
import { MAX_TIMESTEPS } from "../../lib/diffusion/schedule.ts";
import { outputFormats } from "./accept.ts";
import { MAX_SCALE } from "../../lib/image/grid.ts";
import { ANY_CLASS, DEFAULT_STEPS } from "../../lib/sampling/request.ts";
import { withSuggestion } from "../../lib/suggest.ts";
import { type FieldFault, MOST_ERRORS, ProblemError } from "./problem.ts";
import type { ServerSettings } from "../settings.ts";

/** Hono environment of the routes. */
export interface AppEnv {
  /** What `Deno.serve` tells of the connection. */
  Bindings: { readonly remoteAddr?: { readonly hostname?: string } } | undefined;
  Variables: { requestId: string; client: string };
}

/** The server's application. */
export type App = OpenAPIHono<AppEnv>;

/** What a parameter is in `/openapi.json`. */
interface ParameterFacts {
  readonly type: "integer" | "number" | "string";
  readonly description: string;
  readonly example?: string | number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: string[];
}

/**
 * A parameter that comes as text. The text itself is checked first: `Number` takes "", " 7 " and "0x10" for numbers.
 *
 * The types of this function and of those below are zod's; what the compiler infers of them is what routes rest on.
 *
 * @param allowed in words, for the answer to a wrong value
 * @param read the value; undefined where the text is not allowed
 */
function parameter<T>(allowed: string, read: (text: string) => T | undefined, facts: ParameterFacts) {
  const once = (issue: { input?: unknown }) => Array.isArray(issue.input) ? "one value, given once" : allowed;
  return z.string({ error: once }).transform((text, context): T => {
    const value = read(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: allowed });
    return z.NEVER;
  }).openapi({ ...facts });
}

function whole(minimum: number, maximum: number, description: string, example?: number) {
  const read = (text: string) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    return value >= minimum && value <= maximum ? value : undefined;
  };
  const allowed = `a whole number from ${minimum} to ${maximum}`;
  return parameter(allowed, read, { type: "integer", minimum, maximum, description, example }).optional();
}

function decimal(minimum: number, maximum: number, description: string, example?: number) {
  const read = (text: string) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
    return value >= minimum && value <= maximum ? value : undefined;
  };
  const allowed = `a decimal number from ${minimum} to ${maximum}`;
  return parameter(allowed, read, { type: "number", minimum, maximum, description, example }).optional();
}

function word<const T extends string>(words: readonly T[], description: string) {
  const allowed = `one of ${words.join(", ")}`;
  const read = (text: string) => words.find((word) => word === text);
  return parameter(allowed, read, { type: "string", enum: [...words], description }).optional();
}

/** Most steps that any schedule has; the model's own limit is checked against the model. */
export const MOST_STEPS = MAX_TIMESTEPS;

/** The parameters of a request for images. */
function drawParameters(
  { maxImages, maxSteps = MOST_STEPS, maxWork, timeout, sampler, steps, guidance }: ServerSettings,
) {
  return {
    class: parameter("a class", (text) => text, {
      type: "string",
      description: "Class by name, in any case, or by number; `none` for no class; " +
        `\`${ANY_CLASS}\` (default) for one that the seed chooses: image i is of class (seed + i) mod classes.`,
      example: "cat",
    }).optional(),
    count: whole(1, maxImages, "Images to draw. Image i is the one that seed + i gives alone. Default 1.", 1),
    steps: whole(
      1,
      maxSteps,
      `Network evaluations an image. Default ${steps ?? `${DEFAULT_STEPS}, for ddpm all of the model's`}. ` +
        `Images x steps, twice that with guidance, may be ${maxWork}, and no more than can be drawn in ${timeout} seconds.`,
      20,
    ),
    sampler: word(samplerNames, `How noise is removed. Default ${sampler}.`),
    guidance: decimal(
      0,
      100,
      `Scale of classifier-free guidance; 1 is none. Default ${
        guidance ?? 2
      }; 1 without a class, or where the model knows no \"no class\".`,
      2,
    ),
    eta: decimal(0, 1, "Noise that ddim adds, 1 as much as ddpm. Default 0."),
    seed: whole(
      0,
      Number.MAX_SAFE_INTEGER - maxImages,
      "The same seed and parameters give the same bytes. Default: a random one, which the answer names.",
      7,
    ),
    scale: whole(1, MAX_SCALE, "Pixels per pixel. Default 1.", 8),
  };
}

/** Parameters of `GET /generate`. */
export function generateParameters(settings: ServerSettings) {
  return z.strictObject({
    ...drawParameters(settings),
    format: word(
      outputFormats,
      "What to answer with: one picture (a grid for several images), `gif` for the way from noise to image, `json` " +
        "for each image in base64. Default: what the Accept header asks for, png where it does not care.",
    ),
  });
}

/** Parameters of `GET /generate/stream`. */
export function streamParameters(settings: ServerSettings) {
  return z.strictObject({
    ...drawParameters(settings),
    every: whole(
      1,
      MOST_STEPS,
      "Steps from one preview to the next. Default: as many as give eight previews.",
      5,
    ),
  });
}

/**
 * The parameters of a request's address.
 *
 * @throws {ProblemError} 400 naming every one that is wrong, unknown or given twice
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
  throw fieldProblems(error.issues, given, Object.keys(schema.shape));
}

/** Names this request in a problem: its id, which answer and log carry, too. */
export function instanceOf(c: Context<AppEnv>): string {
  return `urn:denoise:request:${c.var.requestId}`;
}

/** Who asks, for fairness between them. */
export function clientOf(c: Context<AppEnv>): string {
  return c.var.client;
}

/** What zod says of one fault, as much of it as is used here. */
interface Issue {
  readonly code?: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
}

/**
 * What is wrong with parameters.
 *
 * @param issues zod's
 * @param given the parameters as they came
 * @param allowed names of the parameters that there are
 */
export function fieldProblems(
  issues: readonly Issue[],
  given: Readonly<Record<string, unknown>>,
  allowed: readonly string[],
): ProblemError {
  return ProblemError.fields(issues.flatMap(({ code, path, message, keys = [] }): FieldFault[] => {
    if (code === "unrecognized_keys") {
      const all = `; there are ${allowed.join(", ")}`;
      return keys.map((key, i) => {
        const known = i < MOST_ERRORS ? allowed : []; // no more are told
        const nearest = withSuggestion("no parameter of this name", key, known);
        const names = i === 0 ? nearest + all : nearest; // all of them are told once
        return { field: key, value: given[key], allowed: names, unknown: true };
      });
    }
    const field = path.join(".");
    return [{ field, value: given[field], allowed: message }];
  }));
}
