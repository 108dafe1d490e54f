/**
 * `GET /v1/models`.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import type { ServedModel } from "../engine/engine.ts";
import { jsonAnswer } from "../http/answers.ts";
import type { ServerContext } from "../http/context.ts";
import { servedModel } from "../http/plan.ts";
import type { App } from "../http/request.ts";
import { errors } from "./answers.ts";
import { MODEL_ALIAS } from "./fields.ts";
import { checkModel } from "./request.ts";

const modelSchema = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
}).openapi("OpenAiModel");

/** Adds the routes. */
export function openAiModelRoutes(routes: App, context: ServerContext): void {
  routes.openAPIRegistry.registerPath({
    method: "get",
    path: "/models",
    summary: "List the served model (OpenAI-compatible)",
    responses: {
      200: jsonAnswer("One model", z.object({ object: z.literal("list"), data: z.array(modelSchema) })),
      ...errors({
        401: "The bearer token is missing or wrong",
        503: "No model is ready; Retry-After says when to try again",
      }),
    },
  });
  routes.get("/models", (c) => c.json({ object: "list", data: [describe(servedModel(context))] }));

  routes.openAPIRegistry.registerPath({
    method: "get",
    path: "/models/{id}",
    summary: "Get the served model by id",
    request: {
      params: z.object({ id: z.string().openapi({ description: `Its id, or \`${MODEL_ALIAS}\`.` }) }),
    },
    responses: {
      200: jsonAnswer("The model", modelSchema),
      ...errors({
        401: "The bearer token is missing or wrong",
        404: "Unknown model",
        503: "No model is ready; Retry-After says when to try again",
      }),
    },
  });
  routes.get("/models/:id", (c) => {
    const model = servedModel(context);
    checkModel(c.req.param("id"), model);
    return c.json(describe(model));
  });
}

function describe({ id, loadedAt }: ServedModel): z.output<typeof modelSchema> {
  return { id, object: "model", created: Math.floor(loadedAt / 1000), owned_by: MODEL_ALIAS };
}
