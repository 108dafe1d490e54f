/**
 * Answers to requests that cannot be met, as `application/problem+json` (RFC 9457).
 *
 * @module
 */
import { ConfigError } from "../../lib/errors.ts";
import { JobError } from "../queue/job.ts";

/** Statuses that say what is wrong with a request or with the server. 499 is for the log alone. */
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
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  499: "Client Closed Request",
  500: "Internal Server Error",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** A field that is to blame. */
export interface FieldProblem {
  /** Name of the parameter or of the member of the body. */
  readonly field: string;
  /** What was given; absent where the field is. */
  readonly value?: unknown;
  /** What is allowed, in words. */
  readonly allowed: string;
}

/** A fault of a field, before it is told. */
export interface FieldFault extends FieldProblem {
  /** Whether there is no such field, so that no value of it is right; `allowed` says which there are. */
  readonly unknown?: boolean;
}

/** What a problem says beside its status and its detail. */
export interface ProblemOptions {
  readonly errors?: readonly FieldProblem[];
  readonly headers?: Readonly<Record<string, string>>;
  /** What went wrong inside; logged, never shown. */
  readonly cause?: unknown;
}

/** Why a request is not met; thrown by routes and turned into the answer by `app.ts`. */
export class ProblemError extends Error {
  override name = "ProblemError";
  readonly errors: readonly FieldProblem[];
  readonly headers: Readonly<Record<string, string>>;

  /**
   * @param code a word for programs, such as `queue_full`; becomes the problem's type
   * @param detail one sentence for people
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

  /** 400 for fields that are to blame; the detail names them, as many as an answer tells. */
  static fields(all: readonly FieldFault[]): ProblemError {
    const told = all.slice(0, MOST_ERRORS).map((fault) => ({ ...fault, field: cut(fault.field) }));
    const detail = told.map(({ field, value, allowed, unknown }) =>
      unknown
        ? `${field}: ${allowed}`
        : `${field}: expected ${allowed}, got ${value === undefined ? "nothing" : brief(value)}`
    );
    const errors = told.map(({ field, value, allowed }) => ({ field, value, allowed }));
    if (all.length > errors.length) detail.push(`and ${all.length - errors.length} more`);
    return new ProblemError(400, "invalid_parameter", detail.join("; "), { errors });
  }

  /** Any error as a problem. What is not known to be the client's business is told to nobody but the log. */
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
    return new ProblemError(500, "internal", "the server failed to answer; its log says why", {
      cause: error,
    });
  }
}

/** The members of a problem, as RFC 9457 names them. */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  /** Seconds, as in the header: events and scripts of pages do not see headers. */
  readonly retryAfter?: number;
  readonly errors?: readonly FieldProblem[];
}

/**
 * A problem's members.
 *
 * @param instance which request it is about: `urn:uuid:` or another URI of its id
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

/** The answer that tells a problem. */
export function problemResponse(problem: ProblemError, instance: string): Response {
  return new Response(JSON.stringify(problemBody(problem, instance)), {
    status: problem.status,
    headers: { ...problem.headers, "Content-Type": "application/problem+json", "Cache-Control": "no-store" },
  });
}

/** Most fields that an answer names. */
export const MOST_ERRORS = 10;
/** Most characters that it repeats of each. */
const MOST_SHOWN = 100;

/** A request's own text comes back cut: an answer must not grow with what was sent. */
function short(error: FieldProblem): FieldProblem {
  const { value } = error;
  if (typeof value === "string") return { ...error, value: cut(value) };
  if (value === undefined || JSON.stringify(value).length <= MOST_SHOWN) return error;
  return { ...error, value: brief(value) };
}

/** A value as JSON, cut. */
export function brief(value: unknown): string {
  return cut(JSON.stringify(value));
}

function cut(text: string): string {
  return text.length <= MOST_SHOWN ? text : `${text.slice(0, MOST_SHOWN)}…`;
}
