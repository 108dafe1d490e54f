/**
 * Error responses under `/v1`, in OpenAI's format.
 *
 * @module
 */
import type { ProblemError } from "../http/problem.ts";

/** An error as OpenAI's clients read it. */
export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: "invalid_request_error" | "server_error";
    /** The field that is to blame. */
    readonly param: string | null;
    readonly code: string;
  };
}

/** A problem's members; fields of a wrong request are all named in the message, the first of them is `param`. */
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

/** The answer that tells a problem. */
export function openAiError(problem: ProblemError): Response {
  return new Response(JSON.stringify(openAiErrorBody(problem)), {
    status: problem.status,
    headers: { ...problem.headers, "Content-Type": "application/json", "Cache-Control": "no-store" },
  });
}
