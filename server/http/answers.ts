/**
 * OpenAPI descriptions of responses, for `/openapi.json`.
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
  401: "The bearer token or API key is missing or wrong, or the key has expired",
  403: "Not allowed on this server",
  404: "Not found",
  406: "No format that Accept allows",
  409: "Already in progress",
  413: "The body is larger than --max-upload",
  415: "The body has a content type that is not listed here, or is compressed",
  422: "The Idempotency-Key was sent with another request",
  429:
    "This client has too much work in progress, or its API key too many requests a minute; Retry-After says when to try again",
  500: "Internal error",
  503: "Busy, shutting down, or restarting the GPU engine; Retry-After says when to try again",
  504: "Not finished in time",
} as const;

/** OpenAPI response object. */
export interface AnswerDescription {
  readonly description: string;
  readonly content: Readonly<Record<string, { readonly schema: z.ZodType }>>;
}

/** Error responses, as problem details. */
export function problems(...statuses: readonly (keyof typeof reasons)[]): Record<string, AnswerDescription> {
  const content = { "application/problem+json": { schema: problemSchema } };
  return Object.fromEntries(statuses.map((status) => [status, { description: reasons[status], content }]));
}

/** JSON response. */
export function jsonAnswer(description: string, schema: z.ZodType): AnswerDescription {
  return { description, content: { "application/json": { schema } } };
}

/** Text response. */
export function textAnswer(description: string, mediaType: string): AnswerDescription {
  return { description, content: { [mediaType]: { schema: z.string() } } };
}

/** Binary response. */
export function bytesAnswer(description: string, mediaTypes: readonly string[]): AnswerDescription {
  const schema = z.string().openapi({ format: "binary" });
  return { description, content: Object.fromEntries(mediaTypes.map((type) => [type, { schema }])) };
}
