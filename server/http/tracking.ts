/**
 * Request ids, trace headers, request log and request metrics.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { createMiddleware } from "hono/factory";
import { matchedRoutes } from "hono/route";
import type { ServerContext } from "./context.ts";
import type { Clock } from "../clock.ts";
import { clientAddress } from "./client.ts";
import { Deadline } from "./deadline.ts";
import { ProblemError } from "./problem.ts";
import type { AppEnv } from "./request.ts";

/** Accepted request ids of clients: short, and safe in logs and headers. */
const sane = /^[A-Za-z0-9._-]{1,64}$/;
/** W3C Trace Context, level 1. */
const traceParent = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const traceState = /^[\x20-\x7e]{1,512}$/;

/** Sets each request's id, client and deadline, propagates trace headers, and records the outcome in log and metrics. */
export function track(
  { log, metrics, settings }: Pick<ServerContext, "log" | "metrics" | "settings">,
  clock: Clock,
): MiddlewareHandler<AppEnv> {
  return createMiddleware<AppEnv>(async (c, next) => {
    const start = performance.now();
    const id = checked(c.req.header("X-Request-Id"), sane) ?? crypto.randomUUID();
    const traceparent = checked(c.req.header("traceparent"), traceParent);
    const tracestate = traceparent && checked(c.req.header("tracestate"), traceState);
    const peer = c.env?.remoteAddr?.hostname ?? "unknown";
    const client = clientAddress(peer, c.req.header("X-Forwarded-For"), settings.trustedProxy);
    c.set("requestId", id);
    c.set("client", client);
    c.set("deadline", new Deadline(clock, settings.timeout));
    await next();

    c.res.headers.set("X-Request-Id", id);
    if (traceparent) c.res.headers.set("traceparent", traceparent);
    if (tracestate) c.res.headers.set("tracestate", tracestate);
    const { method } = c.req;
    const { status } = c.res;
    const seconds = (performance.now() - start) / 1000;
    // The path itself is never logged, since the client chooses it.
    const route = matchedRoutes(c).findLast((route) => route.method !== "ALL")?.path ?? "none";
    metrics.answered({ method, route, status, seconds, key: c.var.key?.name });
    const problem = c.error && ProblemError.from(c.error);
    if (problem) metrics.failed(problem.code);
    const fields = {
      id,
      traceparent,
      tracestate,
      client,
      key: c.var.key?.name,
      method,
      route,
      model: c.var.model,
      status,
      seconds: Math.round(seconds * 1e6) / 1e6,
      code: problem?.code,
    };
    if (problem?.status === 500) log.error("request", fields, problem.cause);
    else if (status >= 500) log.warn("request", fields);
    else log.info("request", fields);
  });
}

function checked(value: string | undefined, form: RegExp): string | undefined {
  return value !== undefined && form.test(value) ? value : undefined;
}
