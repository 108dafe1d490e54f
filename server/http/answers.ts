/**
 * Answers as `/openapi.json` describes them.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";

const problemSchema = z.object({
  type: z.string().openapi({ example: "urn:denoise:problem:invalid_parameter" }),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string().openapi({ example: "urn:denoise:request:0b0d2b1c" }),
  retryAfter: z.int().optional().openapi({ description: "Seconds, as in the Retry-After header." }),
  errors: z.array(z.object({
    field: z.string(),
    value: z.unknown().optional(),
    allowed: z.string(),
  })).optional(),
}).openapi("Problem", { description: "RFC 9457" });

const reasons = {
  400: "A parameter is wrong, unknown or given twice; `errors` names it and what is allowed",
  401: "A token is needed",
  403: "Not allowed on this server",
  406: "No format that Accept allows",
  409: "Under way already",
  429: "Too much of this client is under way; Retry-After says when to try again",
  500: "The server's fault",
  503: "Busy, shutting down, or without its GPU for a moment; Retry-After says when to try again",
  504: "Not finished in time",
} as const;

/** A description of an answer. */
export interface AnswerDescription {
  readonly description: string;
  readonly content: Readonly<Record<string, { readonly schema: z.ZodType }>>;
}

/** Answers that tell problems. */
export function problems(...statuses: readonly (keyof typeof reasons)[]): Record<string, AnswerDescription> {
  const content = { "application/problem+json": { schema: problemSchema } };
  return Object.fromEntries(statuses.map((status) => [status, { description: reasons[status], content }]));
}

/** An answer in JSON. */
export function jsonAnswer(description: string, schema: z.ZodType): AnswerDescription {
  return { description, content: { "application/json": { schema } } };
}

/** An answer of text. */
export function textAnswer(description: string, mediaType: string): AnswerDescription {
  return { description, content: { [mediaType]: { schema: z.string() } } };
}

/** An answer of bytes. */
export function bytesAnswer(description: string, mediaTypes: readonly string[]): AnswerDescription {
  const schema = z.string().openapi({ format: "binary" });
  return { description, content: Object.fromEntries(mediaTypes.map((type) => [type, { schema }])) };
}
