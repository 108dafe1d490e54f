/**
 * Limits on URL and header size, and security headers.
 *
 * @module
 */
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
