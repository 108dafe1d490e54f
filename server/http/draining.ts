/**
 * Connection handling while the server drains.
 *
 * @module
 */
import { createMiddleware } from "hono/factory";
import type { MiddlewareHandler } from "hono";
import type { JobRunner } from "../queue/job.ts";
import type { AppEnv } from "./request.ts";

/**
 * Has clients leave their connections while the server drains: what they sent on one that is closed meanwhile would be
 * lost. `Deno.serve` passes the header on, and goes on answering on the connection until its client leaves.
 */
export function closeWhenDraining(runner: JobRunner): MiddlewareHandler<AppEnv> {
  return createMiddleware<AppEnv>(async (c, next) => {
    await next();
    if (runner.state.draining) c.res.headers.set("Connection", "close");
  });
}
