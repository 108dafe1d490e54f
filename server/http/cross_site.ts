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

/** Headers of an answer that a page of another origin may read. */
const exposedHeaders = [
  ...["X-Seed", "X-Model", "X-Steps", "X-Time", "X-Request-Id"],
  ...["Server-Timing", "Retry-After", "ETag", "Content-Disposition"],
];

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
 * Refuses what pages of other sites have a browser ask for: a picture in any page could else keep a server busy that
 * only its own machine reaches. A link that a person follows is let through, and so are pages of the origin that `cors`
 * names, `*` for any, where they say their origin, as `fetch` and `<img crossorigin>` do.
 */
export function refuseCrossSite(
  { cors, publicUrl }: Pick<ServerSettings, "cors" | "publicUrl">,
): MiddlewareHandler<AppEnv> {
  const publicHosts = publicUrl === undefined ? [] : [new URL(publicUrl).host];
  const detail = cors === undefined
    ? "pages of other sites may not ask; --cors ORIGIN lets them"
    : `of other sites only pages of ${cors} may ask, and must say so: <img crossorigin>`;

  return createMiddleware<AppEnv>(async (c, next) => {
    const followed = c.req.header("Sec-Fetch-Mode") === "navigate" &&
      c.req.header("Sec-Fetch-Dest") === "document" && c.req.method === "GET";
    const site = c.req.header("Sec-Fetch-Site");
    const origin = c.req.header("Origin");
    const named = cors === "*" || origin !== undefined && origin === cors;
    // Browsers keep Sec-Fetch-Site to themselves where a server is reached by plain HTTP from another machine.
    const foreign = site === undefined
      ? origin !== undefined && ![new URL(c.req.url).host, ...publicHosts].includes(hostOf(origin))
      : site === "cross-site";
    if (foreign && !named && !followed) throw new ProblemError(403, "cross_site", detail);
    await next();
  });
}

/** Host and port of an origin; empty for `null` and for what is none. */
function hostOf(origin: string): string {
  return URL.parse(origin)?.host ?? "";
}
