/**
 * Cross-site requests: CORS, and refusal of requests that pages of other sites make.
 *
 * @module
 */
import { cors } from "hono/cors";
import { createMiddleware } from "hono/factory";
import type { MiddlewareHandler } from "hono";
import { ProblemError } from "./problem.ts";
import type { AppEnv } from "./request.ts";
import type { ServerSettings } from "../settings.ts";

/** Response headers that pages of other origins may read. */
const exposedHeaders = [
  ...["X-Seed", "X-Model", "X-Steps", "X-Time", "X-Request-Id"],
  ...["Server-Timing", "Retry-After", "ETag", "Content-Disposition", "Location"],
];

/** CORS for one origin, `*` for any. All request headers are allowed, since OpenAI's client sends many. */
export function allowOrigin(origin: string): MiddlewareHandler<AppEnv> {
  return cors({
    origin,
    allowMethods: ["GET", "POST", "DELETE", "HEAD"],
    exposeHeaders: exposedHeaders,
    maxAge: 3600,
  });
}

/**
 * Refuses cross-site requests: otherwise an image in any web page could keep a local server busy. Navigation by links is
 * allowed, and so are requests with the `Origin` that `cors` names (`*` for any), as `fetch` and `<img crossorigin>`
 * send it.
 */
export function refuseCrossSite(
  { cors, publicUrl }: Pick<ServerSettings, "cors" | "publicUrl">,
): MiddlewareHandler<AppEnv> {
  const publicHosts = publicUrl === undefined ? [] : [new URL(publicUrl).host];
  const detail = cors === undefined
    ? "cross-site requests are not allowed; --cors ORIGIN allows them"
    : `cross-site requests are allowed only from pages of ${cors} with CORS, such as <img crossorigin>`;

  return createMiddleware<AppEnv>(async (c, next) => {
    const followed = c.req.header("Sec-Fetch-Mode") === "navigate" &&
      c.req.header("Sec-Fetch-Dest") === "document" && c.req.method === "GET";
    const site = c.req.header("Sec-Fetch-Site");
    const origin = c.req.header("Origin");
    const named = cors === "*" || origin !== undefined && origin === cors;
    // Browsers omit Sec-Fetch-Site over plain HTTP to other machines.
    const foreign = site === undefined
      ? origin !== undefined && ![new URL(c.req.url).host, ...publicHosts].includes(hostOf(origin))
      : site === "cross-site";
    if (foreign && !named && !followed) throw new ProblemError(403, "cross_site", detail);
    await next();
  });
}

/** Host and port of an origin; empty for `null` and invalid origins. */
function hostOf(origin: string): string {
  return URL.parse(origin)?.host ?? "";
}
