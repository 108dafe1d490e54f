/**
 * What keeps the server's doors: token, limits of what is sent, headers that bind browsers.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { createMiddleware } from "hono/factory";
import { cors } from "hono/cors";
import type { MiddlewareHandler } from "hono";
import { ProblemError } from "./problem.ts";
import type { AppEnv } from "./request.ts";

/** Longest address of a request, in characters. */
export const MAX_URL = 8192;
/** Most characters in all headers of a request. */
export const MAX_HEADERS = 16_384;

/** Headers of a request that a page of another origin may send, and of an answer that it may read. */
const allowedHeaders = ["Authorization", "Content-Type", "X-Request-Id", "traceparent", "tracestate"];
const exposedHeaders = [
  ...["X-Seed", "X-Model", "X-Steps", "X-Time", "X-Request-Id"],
  ...["Server-Timing", "Retry-After", "ETag", "Content-Disposition"],
];

/** For the page: nothing inline, nothing from elsewhere; pictures come as data and as blobs. */
const CONTENT_POLICY = [
  "default-src 'self'",
  "img-src 'self' data: blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/** @param origin whose pages may use the server, too */
export function securityHeaders(origin: string | undefined): MiddlewareHandler<AppEnv> {
  const headers = Object.entries({
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": origin === undefined ? "same-origin" : "cross-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
  });
  return createMiddleware<AppEnv>(async (c, next) => {
    await next();
    for (const [name, value] of headers) c.res.headers.set(name, value);
  });
}

/** Lets pages of one origin in, `*` for all. */
export function allowOrigin(origin: string): MiddlewareHandler<AppEnv> {
  return cors({
    origin,
    allowMethods: ["GET", "POST", "HEAD"],
    allowHeaders: allowedHeaders,
    exposeHeaders: exposedHeaders,
    maxAge: 3600,
  });
}

/** Refuses what is too long to look at. */
export const limitSize: MiddlewareHandler<AppEnv> = createMiddleware<AppEnv>(async (c, next) => {
  if (c.req.url.length > MAX_URL) {
    throw new ProblemError(414, "url_too_long", `an address may have ${MAX_URL} characters`);
  }
  let size = 0;
  for (const [name, value] of c.req.raw.headers) size += name.length + value.length;
  if (size > MAX_HEADERS) {
    throw new ProblemError(431, "headers_too_large", `headers may have ${MAX_HEADERS} characters in all`);
  }
  await next();
});

/** Lets requests through that carry the token. Without a token to ask for, all. */
export function requireToken(token: string | undefined): MiddlewareHandler<AppEnv> {
  const expected = token === undefined ? undefined : digest(token);
  return createMiddleware<AppEnv>(async (c, next) => {
    if (expected) {
      const given = /^Bearer +(\S+) *$/i.exec(c.req.header("Authorization") ?? "")?.[1];
      // Digests have one length: neither it nor where a guess goes wrong shows in the time that this takes.
      if (!timingSafeEqual(digest(given ?? ""), expected) || given === undefined) {
        throw new ProblemError(
          401,
          "unauthorized",
          `${given === undefined ? "a" : "another"} token is needed: Authorization: Bearer TOKEN`,
          { headers: { "WWW-Authenticate": `Bearer realm="denoise"` } },
        );
      }
    }
    await next();
  });
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
