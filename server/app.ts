/**
 * The HTTP application: middleware and routes.
 *
 * @module
 */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { authenticate, requiresToken } from "./http/authentication.ts";
import { type BodyLimits, limitBody } from "./http/body.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { ServerContext } from "./http/context.ts";
import { openAiError } from "./openai/error.ts";
import { ProblemError, problemResponse } from "./http/problem.ts";
import { type App, type AppEnv, instanceOf } from "./http/request.ts";
import { adminRoutes } from "./http/routes/admin.ts";
import type { Jobs } from "./jobs/jobs.ts";
import { jobRoutes } from "./jobs/routes.ts";
import { docsRoutes } from "./http/routes/docs.ts";
import { generateRoute } from "./http/routes/generate.ts";
import { limitsRoute } from "./http/routes/limits.ts";
import { modelRoutes } from "./http/routes/models.ts";
import { openAiRoutes } from "./openai/routes.ts";
import { pageRoutes } from "./http/routes/page.ts";
import { healthRoutes, metricsRoute } from "./http/routes/status.ts";
import { streamRoute } from "./http/routes/stream.ts";
import { allowOrigin, refuseCrossSite } from "./http/cross_site.ts";
import { closeWhenDraining } from "./http/draining.ts";
import { hostCheck } from "./http/hosts.ts";
import { limitSize, securityHeaders } from "./http/security.ts";
import { track } from "./http/tracking.ts";

/** Options of {@linkcode createApp}. */
export interface AppOptions {
  /** Jobs; undefined: the server keeps none. */
  readonly jobs?: Jobs;
  /** For tests. */
  readonly body?: BodyLimits;
  /** Clock for deadlines of requests and heartbeats of streams. */
  readonly clock?: Clock;
}

/**
 * Creates the application, for `Deno.serve(options, app.fetch)`. The second argument of `fetch` holds the client's address.
 */
export function createApp(context: ServerContext, options: AppOptions = {}): App {
  const { settings, metrics, runner } = context;
  metrics.watch(runner);
  const app: App = new OpenAPIHono<AppEnv>();
  app.onError((error, c) => answerProblem(ProblemError.from(error), c));
  app.notFound((c) => {
    throw unknownRoute(app, c);
  });

  app.use(track(context, options.clock ?? systemClock));
  app.use(closeWhenDraining(runner));
  app.use(securityHeaders(settings.cors));
  const checkHost = hostCheck(settings, requiresToken(context));
  app.use(async (c, next) => {
    const problem = checkHost(c.req.raw);
    if (problem) throw problem;
    await next();
  });
  app.use(limitSize);
  app.options("*", async (c, next) => {
    const allowed = allowedMethods(app, c);
    if (allowed.length === 0) throw unknownRoute(app, c);
    await next();
    c.res.headers.set("Allow", allowed.join(", "));
  });
  if (settings.cors !== undefined) app.use(allowOrigin(settings.cors)); // answers every OPTIONS
  app.options("*", (c) => c.body(null, 204));

  // Routes without a token: load balancers have none, the page prompts for it, and browsers cannot send it with a link.
  healthRoutes(app, context);
  app.route("/", pageRoutes(settings));
  docsRoutes(app, context);

  app.use(refuseCrossSite(settings));
  app.use(authenticate(context));
  app.use(
    limitBody(options.body ?? {}, {
      paths: ["/v1/images/edits", "/jobs"],
      bytes: settings.maxUpload * 2 ** 20,
    }),
  );
  generateRoute(app, context);
  streamRoute(app, context, options.clock);
  modelRoutes(app, context);
  limitsRoute(app, context);
  metricsRoute(app, context);
  adminRoutes(app, context);
  jobRoutes(app, context, options.jobs, options.clock);
  app.route("/v1", openAiRoutes(context));
  return app;
}

function answerProblem(problem: ProblemError, c: Context<AppEnv>): Response {
  // The client has disconnected; the status is for log and metrics.
  if (problem.status === 499) return new Response(null, { status: 499 });
  if (/^\/v1(\/|$)/.test(c.req.path)) return openAiError(problem);
  return problemResponse(problem, instanceOf(c));
}

/** 404, or 405 if the path has other methods. */
function unknownRoute(app: App, c: Context<AppEnv>): ProblemError {
  const allowed = allowedMethods(app, c);
  if (allowed.length === 0) {
    return new ProblemError(404, "not_found", "no such route; /docs lists them");
  }
  const detail = `method not allowed; expected one of ${allowed.join(", ")}`;
  return new ProblemError(405, "method_not_allowed", detail, { headers: { Allow: allowed.join(", ") } });
}

/** Methods of the request's path. */
function allowedMethods(app: App, c: Context<AppEnv>): string[] {
  // `OPTIONS *` asks about the server as a whole (RFC 9110, 9.3.7).
  const any = c.req.method === "OPTIONS" && c.req.path === "/*";
  const methods = ["GET", "POST", "DELETE"].filter((method) =>
    any ||
    app.router.match(method, c.req.path)[0].some(([[, { method }]]) => method !== "ALL")
  );
  if (methods.length === 0) return [];
  return [...methods.includes("GET") ? ["HEAD"] : [], ...methods, "OPTIONS"].sort();
}
