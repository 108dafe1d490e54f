/**
 * Schemas for the fields of JSON bodies, and their validation.
 *
 * Return types are inferred from zod, so that parsed bodies have the types that the schemas check.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { withSuggestion } from "../../lib/suggest.ts";
import { fieldProblems } from "./field_problems.ts";
import { ProblemError } from "./problem.ts";

/** Schema of a field that may be absent or null. */
export function optional<S extends z.ZodType>(schema: S, description: string) {
  return schema.nullish().openapi({ description });
}

/** Schema of a text of so many characters. */
export function textField(least: number, most: number) {
  const error = `a text of ${least} to ${most} characters`;
  return z.string({ error }).min(least, error).max(most, error);
}

/**
 * Schema of a whole number.
 *
 * @param mostNow the maximum at the time of the request, for error messages
 */
export function wholeField(least: number, most: number, mostNow: () => number = () => most) {
  const error = () => range("a whole number", least, mostNow());
  return within(z.int({ error }), error, least, most);
}

/** Schema of a number. */
export function numberField(least: number, most: number) {
  const error = range("a number", least, most);
  return within(z.number({ error }), error, least, most);
}

function within(schema: z.ZodNumber, error: string | (() => string), least: number, most: number) {
  return schema.min(least, { error }).max(most, { error });
}

function range(what: string, least: number, most: number): string {
  return `${what} from ${least} to ${most}`;
}

/** Schema of one of some words. */
export function wordField<const T extends string>(words: readonly T[]) {
  return z.enum(words, {
    error: ({ input }) =>
      withSuggestion(`one of ${words.join(", ")}`, typeof input === "string" ? input : "", words),
  });
}

/**
 * Parses a request body.
 *
 * @throws {ProblemError} 400 for invalid fields
 */
export function readFields<S extends z.ZodObject>(body: unknown, schema: S): z.output<S> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ProblemError(400, "invalid_json", "the body must be a JSON object");
  }
  const { success, data, error } = schema.safeParse(body);
  if (success) return data;
  throw fieldProblems(error.issues, body, schema);
}
