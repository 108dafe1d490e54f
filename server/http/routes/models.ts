/**
 * `GET /classes` and `GET /models`: classes and facts of the served models.
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
import type { Engine, ServedModel } from "../../engine/engine.ts";
import { type App, modelParameter, readQuery } from "../request.ts";
import { servedModel } from "../served.ts";

const classesSchema = z.object({
  classes: z.array(z.object({ index: z.int(), name: z.string() })),
}).openapi("Classes");

const modelSchema = z.object({
  id: z.string().openapi({ description: "Its name and, if known, the training step." }),
  name: z.string().openapi({ description: "What `model` chooses it by." }),
  default: z.boolean().openapi({ description: "Requests that choose none get it." }),
  on_device: z.boolean().openapi({
    description: "It is in the device's memory; the first request for another waits until it is loaded.",
  }),
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

/** A model as JSON. */
export type ModelDescription = z.output<typeof modelSchema>;

/** Serializes a model for responses, without its path. */
export function describeModel(
  engine: Engine,
  model: ServedModel,
  { device, settings }: Pick<ServerContext, "device" | "settings">,
): ModelDescription {
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
    name: engine.name,
    default: engine === device.models[0],
    on_device: engine.ready,
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

/** The response to a reload. */
export const servedSchema = z.object({ model: modelSchema, models: z.array(modelSchema) });

const classesParameters = z.strictObject({ model: modelParameter() });

/** Adds the routes. */
export function modelRoutes(app: App, context: ServerContext): void {
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/classes",
    summary: "Classes of a model",
    request: { query: classesParameters },
    responses: { 200: jsonAnswer("Class names by index", classesSchema), ...problems(400, 401, 503) },
  });
  app.get("/classes", (c) => {
    const { model } = readQuery(c, classesParameters);
    const { model: { classes } } = servedModel(context, model);
    return c.json({ classes: classes.map((name, index) => ({ index, name })) });
  });

  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/models",
    summary: "The served models",
    description: "Those that can be read, the default first.",
    responses: {
      200: jsonAnswer("The models", z.object({ models: z.array(modelSchema) })),
      ...problems(401, 503),
    },
  });
  app.get("/models", (c) => {
    servedModel(context); // 503 where the engine is down
    const known = context.device.models.flatMap((engine) => {
      return engine.model ? [describeModel(engine, engine.model, context)] : [];
    });
    return c.json({ models: known });
  });
}
