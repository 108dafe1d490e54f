/**
 * OpenAI-compatible routes, mounted at `/v1`.
 *
 * @module
 */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { ServerContext } from "../http/context.ts";
import type { App, AppEnv } from "../http/request.ts";
import { editsRoute } from "./edits.ts";
import { generationsRoute } from "./generations.ts";
import { openAiModelRoutes } from "./models.ts";

export { openAiError } from "./error.ts";

/** Creates the routes. They throw errors, which `app.ts` converts with {@linkcode openAiError}. */
export function openAiRoutes(context: ServerContext): App {
  const routes: App = new OpenAPIHono<AppEnv>();
  generationsRoute(routes, context);
  editsRoute(routes, context);
  openAiModelRoutes(routes, context);
  return routes;
}
