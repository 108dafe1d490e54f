/**
 * `POST /admin/reload`: reload the model directory, as after more training.
 *
 * @module
 */
import { DenoiseError } from "../../../lib/errors.ts";
import { jsonAnswer, problems } from "../answers.ts";
import { requireAdmin, requiresToken } from "../authentication.ts";
import type { ServerContext } from "../context.ts";
import type { ServedModel } from "../../engine/engine.ts";
import { ProblemError } from "../problem.ts";
import { type App, refuseQuery } from "../request.ts";
import { servedModel } from "../plan.ts";
import { describeModel, servedSchema } from "./models.ts";

/** Adds the route. It takes no path: only whoever starts the server chooses the directory. */
export function adminRoutes(app: App, context: ServerContext): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/admin/reload",
    summary: "Reload the model",
    description:
      "Images in progress finish with the old model. If loading fails, the old model stays in use. " +
      "Only on a server with a token, or with API keys and one that was added with --admin.",
    responses: { 200: jsonAnswer("The new model", servedSchema), ...problems(401, 403, 409, 500, 503) },
  });

  let underWay: Promise<ServedModel> | undefined;
  app.post("/admin/reload", async (c) => {
    if (!requiresToken(context)) {
      throw new ProblemError(
        403,
        "no_token",
        "this server was started without --token-file or --keys; only SIGHUP reloads it",
      );
    }
    requireAdmin(c);
    refuseQuery(c);
    if (underWay) throw new ProblemError(409, "reload_under_way", "a reload is already in progress");
    underWay = context.engine.reload();
    try {
      const model = await underWay;
      context.log.info("model reloaded", { id: c.var.requestId, model: model.id });
      return c.json({ model: describeModel(model, context.settings) });
    } catch (error) {
      if (!(error instanceof DenoiseError)) throw error;
      const { id } = servedModel(context); // 503 where the engine is down
      throw new ProblemError(500, "reload_failed", `${error.message}; still serving ${id}`, {
        cause: error,
      });
    } finally {
      underWay = undefined;
    }
  });
}
