/**
 * Liveness, readiness and metrics.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { jsonAnswer, problems, textAnswer } from "../answers.ts";
import { requireAdmin } from "../authentication.ts";
import type { ServerContext } from "../context.ts";
import { servedModel } from "../served.ts";
import { ProblemError } from "../problem.ts";
import type { App } from "../request.ts";

const headers = { "Cache-Control": "no-store" };

/** `GET /healthz` and `GET /readyz`; they respond at once and need no token. */
export function healthRoutes(app: App, context: ServerContext): void {
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/healthz",
    summary: "Liveness probe",
    security: [],
    responses: { 200: jsonAnswer("The process is running", z.object({ status: z.literal("ok") })) },
  });
  app.get("/healthz", (c) => c.json({ status: "ok" }, 200, headers));

  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/readyz",
    summary: "Readiness probe",
    description: "503 while the server is shutting down, or its engine is down or starting.",
    security: [],
    responses: {
      200: jsonAnswer(
        "Accepting requests for images",
        z.object({ status: z.literal("ready"), model: z.string() }),
      ),
      ...problems(503),
    },
  });
  app.get("/readyz", (c) => {
    if (context.runner.state.draining) {
      throw new ProblemError(503, "draining", "the server is shutting down", {
        headers: { "Retry-After": "1" },
      });
    }
    return c.json({ status: "ready", model: servedModel(context).model.id }, 200, headers);
  });
}

/** `GET /metrics`. */
export function metricsRoute(app: App, { metrics }: ServerContext): void {
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/metrics",
    summary: "Prometheus metrics",
    description: "On a server with API keys, only with one that was added with --admin.",
    responses: { 200: textAnswer("Prometheus' text format", "text/plain"), ...problems(401, 403) },
  });
  app.get("/metrics", async (c) => {
    requireAdmin(c);
    return c.body(await metrics.text(), 200, { ...headers, "Content-Type": metrics.contentType });
  });
}
