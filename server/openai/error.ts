/**
 * Error responses under `/v1`, in OpenAI's format.
 *
 * @module
 */
import type { ProblemError } from "../http/problem.ts";

/** OpenAI error object. */
export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: "invalid_request_error" | "server_error";
    /** The invalid field. */
    readonly param: string | null;
    readonly code: string;
  };
}

/** Converts a problem. `param` is the first invalid field; the message lists them all. */
export function openAiErrorBody({ status, code, message, errors }: ProblemError): OpenAiErrorBody {
  return {
    error: {
      message,
      type: status >= 500 ? "server_error" : "invalid_request_error",
      param: errors[0]?.field ?? null,
      code: status === 401 ? "invalid_api_key" : code,
    },
  };
}

/** Error response for a problem. */
export function openAiError(problem: ProblemError): Response {
  return new Response(`${JSON.stringify(openAiErrorBody(problem))}\n`, {
    status: problem.status,
    headers: { ...problem.headers, "Content-Type": "application/json", "Cache-Control": "no-store" },
  });
}
