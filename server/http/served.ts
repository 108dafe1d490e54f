/**
 * The models of the server, and the choice of one by a request.
 *
 * @module
 */
import type { Context } from "hono";
import type { Engine, ServedModel } from "../engine/engine.ts";
import type { ServerContext } from "./context.ts";
import { cannotBeLoaded } from "../queue/job.ts";
import { ProblemError } from "./problem.ts";
import type { AppEnv } from "./request.ts";

/** Name of the default model in requests, whatever its own is. */
export const MODEL_ALIAS = "denoise";

/** A model that a request has chosen. */
export interface Served {
  readonly engine: Engine;
  readonly model: ServedModel;
}

type Models = Pick<ServerContext, "device">;

/** Names that requests may choose a model by, beside its present id. */
export function modelNames({ device }: Models): string[] {
  return device.models.map(({ name }) => name);
}

/**
 * Finds a model by its name or its present id.
 *
 * @param name default: the first model
 * @throws {ProblemError} 400 naming the field `model` and what is allowed
 */
export function chosenEngine(context: Models, name: string = MODEL_ALIAS): Engine {
  const { models } = context.device;
  const engine = models.find((engine) => engine.name === name) ??
    models.find(({ model }) => model?.id === name) ??
    (name === MODEL_ALIAS ? models[0] : undefined);
  if (engine) return engine;
  const names = modelNames(context);
  const allowed = names.length === 1 ? `${names[0]}, the only model` : `one of ${names.join(", ")}`;
  throw ProblemError.fields([{ field: "model", value: name, allowed }]);
}

/**
 * The model that a request chooses, on the device or not.
 *
 * @param name default: the first model
 * @throws {ProblemError} 400 for an unknown name, 503 while the engine is down or starting, or for a model that cannot be read
 */
export function servedModel(context: Models, name?: string): Served {
  const engine = chosenEngine(context, name);
  const { model, fault } = engine;
  if (model) return { engine, model };
  if (fault) {
    throw new ProblemError(503, "model_failed", cannotBeLoaded(engine), {
      headers: { "Retry-After": "30" },
      cause: fault,
    });
  }
  throw new ProblemError(503, "engine_down", "the model is loading; try again in a few seconds", {
    headers: { "Retry-After": "5" },
  });
}

/** The model that a request chooses, as {@linkcode servedModel}, which the log names from now on. */
export function chooseModel(c: Context<AppEnv>, context: Models, name?: string): Served {
  const served = servedModel(context, name);
  c.set("model", served.engine.name);
  return served;
}
