/**
 * `GET /v1/models` and `GET /v1/models/{id}`.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { mostSteps, samplerNames } from "../../lib/diffusion/sampler.ts";
import { jsonAnswer } from "../http/answers.ts";
import type { ServerContext } from "../http/context.ts";
import type { App } from "../http/request.ts";
import { MODEL_ALIAS, type Served, servedModel } from "../http/served.ts";
import { errors } from "./answers.ts";
import { modelNamed, sizesFor } from "./request.ts";

const modelSchema = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  name: z.string().openapi({ description: "Extension. Its name, which stays when it is trained further." }),
  on_device: z.boolean().openapi({
    description:
      "Extension. It is in the device's memory; the first request for another waits until it is loaded.",
  }),
  samplers: z.array(z.string()).openapi({ description: "Extension." }),
  sizes: z.array(z.string()).openapi({
    description: "Extension. Allowed `size`s beside auto, which is the first.",
  }),
  classes: z.array(z.string()).openapi({ description: "Extension." }),
  timesteps: z.int().openapi({ description: "Extension. The maximum of `steps`." }),
}).openapi("OpenAiModel");

/** Adds the routes. */
export function openAiModelRoutes(routes: App, context: ServerContext): void {
  routes.openAPIRegistry.registerPath({
    method: "get",
    path: "/models",
    summary: "List the served models (OpenAI-compatible)",
    responses: {
      200: jsonAnswer(
        "The models, the default first",
        z.object({ object: z.literal("list"), data: z.array(modelSchema) }),
      ),
      ...errors({
        401: "The bearer token is missing or wrong",
        503: "No model is ready; Retry-After says when to try again",
      }),
    },
  });
  routes.get("/models", (c) => {
    servedModel(context); // 503 where the engine is down
    const data = context.device.models.flatMap((engine) => {
      return engine.model ? [describe({ engine, model: engine.model })] : [];
    });
    return c.json({ object: "list", data });
  });

  routes.openAPIRegistry.registerPath({
    method: "get",
    path: "/models/{id}",
    summary: "Get a model by id or name",
    request: {
      params: z.object({
        id: z.string().openapi({ description: `Its id or name, or \`${MODEL_ALIAS}\` for the default.` }),
      }),
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
  routes.get("/models/:id", (c) => c.json(describe(modelNamed(c.req.param("id"), context))));
}

function describe({ engine, model }: Served): z.output<typeof modelSchema> {
  const { id, loadedAt, classes, schedule } = model;
  return {
    id,
    object: "model",
    created: Math.floor(loadedAt / 1000),
    owned_by: MODEL_ALIAS,
    name: engine.name,
    on_device: engine.ready,
    samplers: [...samplerNames],
    sizes: sizesFor(model),
    classes: [...classes],
    timesteps: mostSteps(schedule),
  };
}
