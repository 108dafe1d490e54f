/**
 * Bearer token, limits on URL and header size, and security headers.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { createMiddleware } from "hono/factory";
import type { MiddlewareHandler } from "hono";
import { ProblemError } from "./problem.ts";
import type { AppEnv } from "./request.ts";

/** Maximum URL length in characters. */
export const MAX_URL = 8192;
/** Maximum total length of request headers in characters. */
export const MAX_HEADERS = 16_384;

/** Content security policy of the page: no inline code, no other origins; images may be data and blob URLs. */
const CONTENT_POLICY = [
  "default-src 'self'",
  "img-src 'self' data: blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/**
 * Security headers. Pages of the allowed origin need no cross-origin resource policy, since they use CORS.
 *
 * @param origin origin allowed by CORS; `*` for any
 */
export function securityHeaders(origin: string | undefined): MiddlewareHandler<AppEnv> {
  const headers = Object.entries({
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": origin === "*" ? "cross-origin" : "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
  });
  return createMiddleware<AppEnv>(async (c, next) => {
    await next();
    for (const [name, value] of headers) c.res.headers.set(name, value);
  });
}

/** Limits the length of URL and headers. */
export const limitSize: MiddlewareHandler<AppEnv> = createMiddleware<AppEnv>(async (c, next) => {
  if (c.req.url.length > MAX_URL) {
    throw new ProblemError(414, "url_too_long", `the URL has more than ${MAX_URL} characters`);
  }
  let size = 0;
  for (const [name, value] of c.req.raw.headers) size += name.length + value.length;
  if (size > MAX_HEADERS) {
    throw new ProblemError(
      431,
      "headers_too_large",
      `the headers have more than ${MAX_HEADERS} characters in total`,
    );
  }
  await next();
});

/** Requires the bearer token, if the server has one. */
export function requireToken(token: string | undefined): MiddlewareHandler<AppEnv> {
  return createMiddleware<AppEnv>(async (c, next) => {
    const header = c.req.header("Authorization");
    if (!carriesToken(header, token)) {
      throw new ProblemError(
        401,
        "unauthorized",
        `Authorization: the bearer token is ${bearer(header) === undefined ? "missing" : "wrong"}`,
        { headers: { "WWW-Authenticate": `Bearer realm="denoise"` } },
      );
    }
    await next();
  });
}

/** True if an Authorization header carries the token, or the server has none. */
export function carriesToken(header: string | undefined, token: string | undefined): boolean {
  if (token === undefined) return true;
  const given = bearer(header);
  // Digests have equal lengths, so the time reveals neither the token's length nor a matching prefix.
  return timingSafeEqual(digest(given ?? ""), digest(token)) && given !== undefined;
}

function bearer(header: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(header ?? "")?.[1];
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
