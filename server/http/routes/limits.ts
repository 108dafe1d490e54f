/**
 * `GET /limits`: what this client may ask for.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { jsonAnswer, problems } from "../answers.ts";
import { settingsFor } from "../authentication.ts";
import type { ServerContext } from "../context.ts";
import type { App } from "../request.ts";

const limitsSchema = z.object({
  key: z.object({
    name: z.string(),
    expires: z.iso.datetime().optional(),
    admin: z.boolean().openapi({ description: "It may read /metrics and reload the model." }),
  }).optional().openapi({ description: "The API key of the request." }),
  images: z.int().openapi({ description: "Images in a request." }),
  job_images: z.int().optional().openapi({ description: "Images in a job, on a server with --jobs." }),
  steps: z.int().openapi({ description: "Steps of a request; models may allow fewer." }),
  work: z.int().openapi({
    description: "Network evaluations in progress at once: images x steps, twice that with guidance.",
  }),
  requests_per_minute: z.int().optional().openapi({ description: "Requests for images in any minute." }),
}).openapi("Limits");

/** Adds the route. */
export function limitsRoute(app: App, { settings }: ServerContext): void {
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/limits",
    summary: "Limits of this client",
    description: "Those of the server, or of the API key of the request where they are lower.",
    responses: { 200: jsonAnswer("Limits", limitsSchema), ...problems(401) },
  });
  app.get("/limits", (c) => {
    const { maxImages, maxJobImages, maxSteps, maxWork, jobs } = settingsFor(c, settings);
    const { key } = c.var;
    const answer: z.input<typeof limitsSchema> = {
      key: key && { name: key.name, expires: key.expires, admin: key.admin ?? false },
      images: maxImages,
      job_images: jobs === undefined ? undefined : maxJobImages,
      steps: maxSteps,
      work: maxWork,
      requests_per_minute: key?.limits.perMinute,
    };
    return c.json(answer, 200, { "Cache-Control": "no-store" });
  });
}
