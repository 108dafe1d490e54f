/**
 * `GET /classes` and `GET /models`: classes and facts of the served model.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { mostSteps, samplerNames } from "../../../lib/diffusion/sampler.ts";
import { PRECISIONS } from "../../../lib/model/precision.ts";
import { chooseSampler, defaultSteps } from "../../../lib/sampling/request.ts";
import { hasNullClass } from "../../../lib/sampling/class_choice.ts";
import { jsonAnswer, problems } from "../answers.ts";
import type { ServerContext } from "../context.ts";
import { servedModel } from "../plan.ts";
import type { ServedModel } from "../../engine/engine.ts";
import type { ServerSettings } from "../../settings.ts";
import type { App } from "../request.ts";

const classesSchema = z.object({
  classes: z.array(z.object({ index: z.int(), name: z.string() })),
}).openapi("Classes");

const modelSchema = z.object({
  id: z.string(),
  step: z.int().optional().openapi({ description: "Training step of the checkpoint." }),
  parameters: z.int(),
  digest: z.string().openapi({ description: "SHA-256 of the weights; pictures have its beginning." }),
  height: z.int(),
  width: z.int(),
  classes: z.array(z.string()),
  timesteps: z.int().openapi({
    description: "The maximum of `steps`: the training's timesteps, if it has any.",
  }),
  sampler: z.string().openapi({ description: "Default sampler." }),
  spacing: z.string().openapi({ description: "Spacing of the noise levels for it." }),
  samplers: z.array(z.string()),
  default_steps: z.record(z.string(), z.int()).openapi({
    description: "Default of `steps` by sampler.",
  }),
  guidance: z.boolean().openapi({
    description:
      "Guidance is available: the model is trained with and without classes, or a second model guides it.",
  }),
  guide: z.string().optional().openapi({
    description: "A second, weaker model that guidance leads away from, in place of no class (autoguidance).",
  }),
  guide_digest: z.string().optional().openapi({ description: "SHA-256 of its weights." }),
  objective: z.string(),
  adapter: z.string(),
  precision: z.enum(PRECISIONS).openapi({ description: "Precision of the network." }),
  loaded: z.iso.datetime(),
}).openapi("Model");

/** Serializes a model for responses, without its path. */
export function describeModel(
  model: ServedModel,
  settings: Pick<ServerSettings, "steps">,
): z.output<typeof modelSchema> {
  const {
    id,
    step,
    parameters,
    digest,
    height,
    width,
    classes,
    schedule,
    guide,
    guideDigest,
    adapter,
    precision,
    loadedAt,
  } = model;
  return {
    id,
    ...(step === undefined ? {} : { step }),
    parameters,
    digest,
    height,
    width,
    classes: [...classes],
    timesteps: mostSteps(schedule),
    ...chooseSampler({}, model),
    samplers: [...samplerNames],
    default_steps: Object.fromEntries(
      samplerNames.map((sampler) => {
        return [sampler, defaultSteps(chooseSampler({ sampler }, model), schedule, settings)];
      }),
    ),
    guidance: guide !== undefined || hasNullClass(model),
    ...(guide === undefined ? {} : { guide, guide_digest: guideDigest }),
    objective: schedule.objective,
    adapter,
    precision,
    loaded: new Date(loadedAt).toISOString(),
  };
}

/** `{ model }`, the response to a reload. */
export const servedSchema = z.object({ model: modelSchema });

/** Adds the routes. */
export function modelRoutes(app: App, context: ServerContext): void {
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/classes",
    summary: "Classes of the served model",
    responses: { 200: jsonAnswer("Class names by index", classesSchema), ...problems(401, 503) },
  });
  app.get("/classes", (c) => {
    const { classes } = servedModel(context);
    return c.json({ classes: classes.map((name, index) => ({ index, name })) });
  });

  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/models",
    summary: "The served model",
    responses: {
      200: jsonAnswer("One model", z.object({ models: z.array(modelSchema) })),
      ...problems(401, 503),
    },
  });
  app.get("/models", (c) => c.json({ models: [describeModel(servedModel(context), context.settings)] }));
}
