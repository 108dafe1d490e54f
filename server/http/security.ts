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

/** Longest address of a request, in characters. */
export const MAX_URL = 8192;
/** Most characters in all headers of a request. */
export const MAX_HEADERS = 16_384;

/** For the page: nothing inline, nothing from elsewhere; pictures come as data and as blobs. */
const CONTENT_POLICY = [
  "default-src 'self'",
  "img-src 'self' data: blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/**
 * Headers that bind browsers. Pages of an origin that is named need no leave to embed: they ask by CORS.
 *
 * @param origin whose pages may use the server, too; `*` for any
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
  return createMiddleware<AppEnv>(async (c, next) => {
    const header = c.req.header("Authorization");
    if (!carriesToken(header, token)) {
      throw new ProblemError(
        401,
        "unauthorized",
        `${bearer(header) === undefined ? "a" : "another"} token is needed: Authorization: Bearer TOKEN`,
        { headers: { "WWW-Authenticate": `Bearer realm="denoise"` } },
      );
    }
    await next();
  });
}

/** Whether an Authorization header carries the token. Without a token to ask for, any does. */
export function carriesToken(header: string | undefined, token: string | undefined): boolean {
  if (token === undefined) return true;
  const given = bearer(header);
  // Digests have one length: neither it nor where a guess goes wrong shows in the time that this takes.
  return timingSafeEqual(digest(given ?? ""), digest(token)) && given !== undefined;
}

function bearer(header: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(header ?? "")?.[1];
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
