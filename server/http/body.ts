/**
 * Request bodies: read in full before any route runs, with limits on size and time.
 *
 * @module
 */
import type { Context, MiddlewareHandler } from "hono";
import { createMiddleware } from "hono/factory";
import { type Clock, systemClock } from "../clock.ts";
import { ProblemError } from "./problem.ts";
import type { AppEnv } from "./request.ts";

/** Maximum body size in bytes, except of uploads. */
export const MAX_BODY = 65_536;
/** Maximum bytes of all uploads that are being received. */
const MAX_RECEIVING = 2 ** 26;
/** Maximum nesting depth of a JSON body. */
export const MAX_DEPTH = 16;
/** Maximum values in a JSON body: those of an upload of 4 MiB would take seconds to parse and check. */
export const MAX_VALUES = 2 ** 14;

/** Limits of {@linkcode limitBody}. */
export interface BodyLimits {
  /** Timeout for receiving a body in seconds. Default 10, for uploads 30. */
  readonly seconds?: number;
  readonly clock?: Clock;
}

/** Paths that take uploads, and their maximum size in bytes. */
export interface UploadLimits {
  readonly paths: readonly string[];
  readonly bytes: number;
}

/**
 * Reads the whole body before any route runs, so that slow clients do not block routes. Refuses bodies that are compressed, too
 * large or too slow, and uploads while too many are being received.
 */
export function limitBody(limits: BodyLimits, uploads: UploadLimits): MiddlewareHandler<AppEnv> {
  const { clock = systemClock } = limits;
  const receiving = { bytes: 0 };
  return createMiddleware<AppEnv>(async (c, next) => {
    const request = c.req.raw;
    const isUpload = uploads.paths.includes(c.req.path);
    const most = isUpload ? uploads.bytes : MAX_BODY;
    const { seconds = isUpload ? 30 : 10 } = limits;
    // A false Content-Length is found when the body is read.
    if (Number(request.headers.get("Content-Length") ?? 0) > most) throw tooLarge(most);
    if (request.body) {
      refuseEncoded(request.headers, "Content-Encoding", "identity");
      refuseEncoded(request.headers, "Transfer-Encoding", "chunked");
      const late = Promise.withResolvers<never>();
      const callOff = clock.after(1000 * seconds, () => {
        const detail = `the body was not received within ${seconds} seconds`;
        // The rest of the body may still arrive, so the connection cannot be reused.
        late.reject(new ProblemError(408, "body_timeout", detail, { headers: { Connection: "close" } }));
      });
      const body = await readAll(request.body, { most, receiving, late: late.promise }).finally(callOff);
      c.req.raw = new Request(request, { body });
    }
    await next();
  });
}

/** Refuses compressed bodies, whose decompressed size is not bounded. */
function refuseEncoded(headers: Headers, field: string, allowed: string): void {
  const encoding = headers.get(field)?.trim().toLowerCase();
  if (!encoding || encoding === allowed) return;
  throw new ProblemError(415, "encoded_body", `${field}: expected ${allowed} or none`, {
    errors: [{ field, value: encoding, allowed }],
    headers: { "Accept-Encoding": "identity" },
  });
}

interface Reception {
  /** Maximum bytes. */
  readonly most: number;
  /** Bytes of all bodies that are being received. */
  readonly receiving: { bytes: number };
  /** Rejects when the time is up. */
  readonly late: Promise<never>;
}

async function readAll(
  body: ReadableStream<Uint8Array>,
  { most, receiving, late }: Reception,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  try {
    while (true) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) return new Uint8Array(await new Blob(chunks).arrayBuffer());
      size += value.length;
      receiving.bytes += value.length;
      if (size > most) throw tooLarge(most);
      if (size > MAX_BODY && receiving.bytes > MAX_RECEIVING) throw tooMany();
      chunks.push(new Uint8Array(value));
    }
  } catch (error) {
    reader.cancel().catch(() => {}); // the rest is discarded
    if (error instanceof ProblemError) throw error;
    if (error instanceof Deno.errors.BadResource) {
      throw new ProblemError(499, "client_gone", "the client disconnected while sending the body", {
        cause: error,
      });
    }
    // The start of the next request on this connection is unknown.
    throw new ProblemError(400, "bad_body", "the body's chunked encoding is invalid", {
      headers: { Connection: "close" },
      cause: error,
    });
  } finally {
    receiving.bytes -= size;
  }
}

function tooLarge(most: number): ProblemError {
  return new ProblemError(413, "body_too_large", `the body has more than ${most} bytes`);
}

function tooMany(): ProblemError {
  return new ProblemError(503, "uploads_busy", "too many uploads are being received", {
    headers: { "Retry-After": "5", "Connection": "close" },
  });
}

/** Takes the bytes of the body out of the request, which would keep an upload in memory until it is answered. */
export async function takeBody(c: Context): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array((await c.req.arrayBuffer()).transfer());
}

/**
 * Parses the body as JSON. It cannot be read again.
 *
 * @throws {ProblemError} 415 for other content types, 400 for JSON that is invalid, nested too deeply or of too many values
 */
export async function readJson(c: Context): Promise<unknown> {
  const type = c.req.header("Content-Type") ?? "";
  if (!/^application\/json *(;|$)/i.test(type)) {
    throw new ProblemError(415, "unsupported_media_type", "the body must be application/json", {
      errors: [{ field: "Content-Type", value: type, allowed: "application/json" }],
      headers: { "Accept-Post": "application/json" },
    });
  }
  const bytes = await takeBody(c);
  if (separators(bytes) > MAX_VALUES) {
    throw new ProblemError(
      400,
      "invalid_json",
      `the body's JSON has too many values (at most ${MAX_VALUES} commas and opening brackets)`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new ProblemError(400, "invalid_json", "the body is not valid JSON in UTF-8");
  }
  if (deeper(value, MAX_DEPTH)) {
    throw new ProblemError(400, "invalid_json", `the body's JSON is nested deeper than ${MAX_DEPTH} levels`);
  }
  return value;
}

/** Commas and opening brackets, those in strings too (base64 has none): at least as many as values, less one. */
function separators(json: Uint8Array): number {
  const [comma, bracket, brace] = [0x2c, 0x5b, 0x7b];
  let count = 0;
  for (const byte of json) if (byte === comma || byte === bracket || byte === brace) count++;
  return count;
}

/** True if `value` has more than `levels` levels; recurses no deeper than that. */
function deeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((member) => deeper(member, levels - 1));
}
