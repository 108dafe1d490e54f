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

/** Headers of an answer that a page of another origin may read. */
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

/** Lets pages of one origin in, `*` for all, with whatever headers they want to send: OpenAI's client has many. */
export function allowOrigin(origin: string): MiddlewareHandler<AppEnv> {
  return cors({
    origin,
    allowMethods: ["GET", "POST", "HEAD"],
    exposeHeaders: exposedHeaders,
    maxAge: 3600,
  });
}

/**
 * Whether a request names its host as one can. The address is made of that header, and so would be the route.
 */
export function hostIsPlain({ headers, url }: Request): boolean {
  const host = headers.get("Host"); // HTTP/1.0 may do without
  return URL.canParse(url) && (host === null || /^([\w.-]+|\[[\da-f:.]+\])(:\d+)?$/i.test(host));
}

/** What a request is answered whose host is not plain. */
export function badHost(): ProblemError {
  return new ProblemError(
    400,
    "bad_host",
    "the Host header must be a name or an address, with or without a port",
  );
}

/** Refuses requests whose host is not plain. */
export const checkHost: MiddlewareHandler<AppEnv> = createMiddleware<AppEnv>(async (c, next) => {
  if (!hostIsPlain(c.req.raw)) throw badHost();
  await next();
});

/**
 * Refuses what pages of other sites have a browser ask for (Fetch Metadata): a picture in any page could else keep a
 * server busy that only its own machine reaches. A link that a person follows is let through.
 */
export const refuseCrossSite: MiddlewareHandler<AppEnv> = createMiddleware<AppEnv>(async (c, next) => {
  const followed = c.req.header("Sec-Fetch-Mode") === "navigate" &&
    c.req.header("Sec-Fetch-Dest") === "document" && c.req.method === "GET";
  if (c.req.header("Sec-Fetch-Site") === "cross-site" && !followed) {
    throw new ProblemError(403, "cross_site", "pages of other sites may not ask; --cors ORIGIN lets them");
  }
  await next();
});

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
