/**
 * Error responses, as `application/problem+json` (RFC 9457).
 *
 * @module
 */
import { ConfigError } from "../../lib/errors.ts";
import { PictureError } from "../pictures/decoder.ts";
import { JobError } from "../queue/job.ts";

/** HTTP statuses of errors. 499 (the client disconnected) appears in log and metrics only. */
export type ProblemStatus =
  | 400
  | 401
  | 403
  | 404
  | 405
  | 406
  | 408
  | 409
  | 413
  | 414
  | 415
  | 421
  | 422
  | 429
  | 431
  | 499
  | 500
  | 503
  | 504;

const titles: Readonly<Record<ProblemStatus, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  409: "Conflict",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  499: "Client Closed Request",
  500: "Internal Server Error",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** An invalid parameter or body field. */
export interface FieldProblem {
  /** Name of the parameter, header or body field. */
  readonly field: string;
  /** The value sent; absent if the field is missing. */
  readonly value?: unknown;
  /** Description of the allowed values. */
  readonly allowed: string;
}

/** A {@linkcode FieldProblem} before it is truncated for the response. */
export interface FieldFault extends FieldProblem {
  /** Says that the field does not exist, with the nearest that does; `allowed` lists those. */
  readonly unknown?: string;
}

/** Optional parts of a {@linkcode ProblemError}. */
export interface ProblemOptions {
  readonly errors?: readonly FieldProblem[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Internal cause; logged, never sent to the client. */
  readonly cause?: unknown;
}

/** Error thrown by routes and converted to an error response by `app.ts`. */
export class ProblemError extends Error {
  override name = "ProblemError";
  readonly errors: readonly FieldProblem[];
  readonly headers: Readonly<Record<string, string>>;

  /**
   * @param code machine-readable code, such as `queue_full`; the problem's type is derived from it
   * @param detail human-readable message, one sentence
   */
  constructor(
    readonly status: ProblemStatus,
    readonly code: string,
    detail: string,
    options: ProblemOptions = {},
  ) {
    super(detail, { cause: options.cause });
    this.errors = options.errors ?? [];
    this.headers = options.headers ?? {};
  }

  /** 400 for invalid fields; the detail lists up to {@linkcode MOST_ERRORS} of them. */
  static fields(all: readonly FieldFault[]): ProblemError {
    const shown = all.slice(0, MOST_ERRORS).map((fault) => ({ ...fault, field: cut(fault.field) }));
    const firstUnknown = shown.find(({ unknown }) => unknown !== undefined);
    const detail = shown.map((fault) => {
      const { field, value, allowed, unknown } = fault;
      if (unknown === undefined) {
        return `${field}: expected ${allowed}, got ${value === undefined ? "nothing" : brief(value)}`;
      }
      const names = fault === firstUnknown ? `; expected ${allowed}` : ""; // listed once
      return `${field}: ${unknown}${names}`;
    });
    const errors = shown.map(({ field, value, allowed }) => ({ field, value, allowed }));
    if (all.length > errors.length) detail.push(`and ${all.length - errors.length} more`);
    return new ProblemError(400, "invalid_parameter", detail.join("; "), { errors });
  }

  /** Converts any error. Messages of unexpected errors are not sent to the client; the log has them as the cause. */
  static from(error: unknown): ProblemError {
    if (error instanceof ProblemError) return error;
    if (error instanceof JobError) {
      const headers = error.retryAfter === undefined
        ? undefined
        : { "Retry-After": String(Math.max(1, Math.ceil(error.retryAfter))) };
      return new ProblemError(error.status, error.code, error.message, { headers, cause: error });
    }
    if (error instanceof ConfigError) {
      const { field, value, allowed } = error;
      return new ProblemError(400, "invalid_parameter", error.message, {
        errors: [{ field, value, allowed }],
        cause: error,
      });
    }
    if (error instanceof PictureError) {
      const { field, message } = error;
      const errors = [{ field, allowed: "a PNG, JPEG, WebP or GIF image" }];
      return new ProblemError(400, "invalid_picture", message, { errors });
    }
    return new ProblemError(500, "internal", "internal error; see the server's log", {
      cause: error,
    });
  }
}

/** Problem details object (RFC 9457, 3.1). */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  /** Seconds, as in the header, which events and cross-origin scripts cannot read. */
  readonly retryAfter?: number;
  readonly errors?: readonly FieldProblem[];
}

/**
 * Problem details of an error.
 *
 * @param instance URI of the request's id, such as `urn:uuid:…`
 */
export function problemBody(problem: ProblemError, instance: string): ProblemBody {
  const { status, code, message: detail, errors, headers } = problem;
  const retryAfter = headers["Retry-After"];
  return {
    type: `urn:denoise:problem:${code}`,
    title: titles[status],
    status,
    detail,
    instance,
    ...(retryAfter === undefined ? {} : { retryAfter: Number(retryAfter) }),
    ...(errors.length > 0 ? { errors: errors.map(short) } : {}),
  };
}

/** Error response for a problem. */
export function problemResponse(problem: ProblemError, instance: string): Response {
  // with a newline, for readers at a terminal
  return new Response(`${JSON.stringify(problemBody(problem, instance))}\n`, {
    status: problem.status,
    headers: { ...problem.headers, "Content-Type": "application/problem+json", "Cache-Control": "no-store" },
  });
}

/** Maximum number of invalid fields listed in a response. */
export const MOST_ERRORS = 10;
/** Maximum number of characters quoted from each. */
const MOST_SHOWN = 100;

/** Truncates the quoted value, so that the size of a response is bounded whatever was sent. */
function short(error: FieldProblem): FieldProblem {
  const { value } = error;
  if (typeof value === "string") return { ...error, value: cut(value) };
  if (value === undefined || JSON.stringify(value).length <= MOST_SHOWN) return error;
  return { ...error, value: brief(value) };
}

/** A value as JSON, truncated. */
export function brief(value: unknown): string {
  return cut(JSON.stringify(value));
}

function cut(text: string): string {
  return text.length <= MOST_SHOWN ? text : `${text.slice(0, MOST_SHOWN)}…`;
}
