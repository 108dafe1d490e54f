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
 * Asks clients to close their connections while the server drains, since requests on a connection that the server closes
 * would be lost. `Deno.serve` only forwards the header, and serves the connection until the client closes it.
 */
export function closeWhenDraining(runner: JobRunner): MiddlewareHandler<AppEnv> {
  return createMiddleware<AppEnv>(async (c, next) => {
    await next();
    if (runner.state.draining) c.res.headers.set("Connection", "close");
  });
}
