/**
 * `POST /admin/reload`: reload the models' directories, as after more training.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { DenoiseError } from "../../../lib/errors.ts";
import { jsonAnswer, problems } from "../answers.ts";
import { requireAdmin, requiresToken } from "../authentication.ts";
import type { ServerContext } from "../context.ts";
import type { Engine, ServedModel } from "../../engine/engine.ts";
import { ProblemError } from "../problem.ts";
import { type App, modelParameter, readQuery } from "../request.ts";
import { chosenEngine, servedModel } from "../served.ts";
import { describeModel, type ModelDescription, servedSchema } from "./models.ts";

const reloadParameters = z.strictObject({ model: modelParameter() });

/** Adds the route. It takes no path: only whoever starts the server chooses the directory. */
export function adminRoutes(app: App, context: ServerContext): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/admin/reload",
    summary: "Reload the models",
    description:
      "Images in progress finish with the old models. If loading fails, the old model stays in use. " +
      "Only on a server with a token, or with API keys and one that was added with --admin.",
    request: { query: reloadParameters },
    responses: {
      200: jsonAnswer("The new model, the first of several", servedSchema),
      ...problems(400, 401, 403, 409, 500, 503),
    },
  });

  let underWay = false;
  app.post("/admin/reload", async (c) => {
    if (!requiresToken(context)) {
      throw new ProblemError(
        403,
        "no_token",
        "this server was started without --token-file or --keys; only SIGHUP reloads it",
      );
    }
    requireAdmin(c);
    const { model: name } = readQuery(c, reloadParameters);
    const engines = name === undefined ? context.device.models : [chosenEngine(context, name)];
    if (underWay) throw new ProblemError(409, "reload_under_way", "a reload is already in progress");
    underWay = true;
    try {
      const models: ModelDescription[] = [];
      for (const engine of engines) {
        const model = await reload(engine, context);
        context.log.info("model reloaded", { id: c.var.requestId, model: model.id });
        models.push(describeModel(engine, model, context));
      }
      return c.json({ model: models[0]!, models }); // there is one at least
    } finally {
      underWay = false;
    }
  });
}

/** @throws {ProblemError} 500 where the model cannot be loaded, 503 where the engine is down */
async function reload(engine: Engine, context: ServerContext): Promise<ServedModel> {
  try {
    return await engine.reload();
  } catch (error) {
    if (!(error instanceof DenoiseError)) throw error;
    const { id } = servedModel(context, engine.name).model;
    throw new ProblemError(500, "reload_failed", `${error.message}; still serving ${id}`, { cause: error });
  }
}
