/**
 * `/jobs`: requests for many images that are drawn in the background.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { bytesAnswer, jsonAnswer, problems, textAnswer } from "../http/answers.ts";
import { settingsFor } from "../http/authentication.ts";
import type { Clock } from "../clock.ts";
import type { ServerContext } from "../http/context.ts";
import { decodeFiles } from "../http/decode.ts";
import { ProblemError } from "../http/problem.ts";
import { type App, type AppEnv, askerOf, readQuery, refuseQuery } from "../http/request.ts";
import { servedModel } from "../http/served.ts";
import { describeJob, jobListSchema, jobSchema, linkTo } from "./answers.ts";
import { streamJobEvents } from "./events.ts";
import type { EditFiles } from "../pictures/decoder.ts";
import { jobFormSchema, jobRequestSchema, readJobBody } from "./fields.ts";
import type { AcceptedJob, AskedPictures, Jobs } from "./jobs.ts";
import type { StoredJob } from "./store.ts";
import { zipImages } from "./zip.ts";

const headers = { "Cache-Control": "no-store" };

/** Jobs in a list, by default and at most. */
const LISTED = [20, 100] as const;

const listParameters = z.strictObject({
  limit: z.string().optional().openapi({
    type: "integer",
    minimum: 1,
    maximum: LISTED[1],
    description: `Number of jobs. Default ${LISTED[0]}.`,
  }),
  before: z.string().optional().openapi({ description: "Id of a job; only older ones are listed." }),
});

const idParameters = z.object({ id: z.string() });

/** Adds the routes; where the server keeps no jobs, they say so. */
export function jobRoutes(app: App, context: ServerContext, jobs: Jobs | undefined, clock?: Clock): void {
  const schema = jobRequestSchema(context);
  describeRoutes(app, schema, context);
  const kept = () => {
    if (jobs) return jobs;
    throw new ProblemError(
      403,
      "no_jobs",
      "this server was started without --jobs FILE, so it keeps no jobs",
    );
  };
  const { settings } = context;
  // An API key has jobs of its own; without one, whoever knows a job's id may have it.
  const get = (c: Context<AppEnv>, id: string): StoredJob | undefined => {
    const job = kept().store.get(id);
    return context.keys === undefined || job?.client === c.var.client ? job : undefined;
  };
  const find = (c: Context<AppEnv>): StoredJob => {
    const job = get(c, c.req.param("id") ?? "");
    if (job) return job;
    const detail = `no such job; ended ones are kept for ${settings.keepJobs} hours`;
    throw new ProblemError(404, "job_not_found", detail);
  };

  app.post("/jobs", async (c) => {
    const jobs = kept();
    refuseQuery(c, ["image", ...Object.keys(schema.shape)]);
    const idempotencyKey = readKey(c);
    const { fields, files } = await readJobBody(c, schema);
    const { client, key } = c.var;
    const limits = settingsFor(c, settings);
    const asked = { client, keyName: key?.name, idempotencyKey, fields, limits };
    const known = jobs.known(asked, files); // before its pictures are decoded
    const { job, isNew, secret }: AcceptedJob = known ? { job: known, isNew: false } : jobs.create({
      ...asked,
      pictures: files && await decodeAsked(c, context, files, fields.model ?? undefined),
    });
    const { webhook, ...described } = describeJob(jobs.store.get(job.id) ?? job, jobs, settings);
    const answer = { ...described, ...(webhook && { webhook: { ...webhook, ...(secret && { secret }) } }) };
    return c.json(answer, isNew ? 202 : 200, { ...headers, Location: answer.links.self });
  });

  app.get("/jobs", (c) => {
    const jobs = kept();
    const { limit, before } = readListQuery(c, (id) => get(c, id));
    // Only with the server's one token may somebody list what others have sent.
    const client = context.token === undefined ? c.var.client : undefined;
    const listed = jobs.store.list(client, limit, before);
    const last = listed.at(-1);
    const more = last && listed.length === limit && jobs.store.list(client, 1, last.number).length > 0;
    const next = more ? { next: linkTo(settings)(`/jobs?limit=${limit}&before=${last.id}`) } : {};
    return c.json({ jobs: listed.map((job) => describeJob(job, jobs, settings)), ...next }, 200, headers);
  });

  app.get("/jobs/:id", (c) => {
    refuseQuery(c);
    return c.json(describeJob(find(c), kept(), settings), 200, headers);
  });

  app.delete("/jobs/:id", (c) => {
    refuseQuery(c);
    return c.json(describeJob(kept().cancel(find(c)), kept(), settings), 200, headers);
  });

  app.get("/jobs/:id/events", (c) => {
    refuseQuery(c);
    return streamJobEvents(c, context, { job: find(c), jobs: kept(), clock });
  });

  app.get("/jobs/:id/images/:file", (c) => {
    refuseQuery(c);
    const job = find(c);
    const [, digits] = /^(0|[1-9]\d{0,8})[.]png$/.exec(c.req.param("file")) ?? [];
    const position = Number(digits ?? NaN);
    const png = digits === undefined ? undefined : kept().store.image(job, position);
    if (!png) {
      const detail = position < job.count
        ? `image ${position} of this job is not drawn (${job.done} of ${job.count} are)`
        : `this job has ${job.count} images, 0.png to ${job.count - 1}.png`;
      throw new ProblemError(404, "image_not_found", detail);
    }
    return c.body(png, 200, {
      "Content-Type": "image/png",
      "Cache-Control": "private, max-age=86400, immutable",
      "Content-Disposition": `inline; filename="${job.id}-${position}.png"`,
    });
  });

  app.get("/jobs/:id/images.zip", (c) => {
    refuseQuery(c);
    const job = find(c);
    const { body, length } = zipImages(job, kept().store, clock);
    const facts = {
      ...headers,
      "Content-Type": "application/zip",
      "Content-Length": String(length),
      "Content-Disposition": `attachment; filename="${job.id}.zip"`,
    };
    return c.req.method === "HEAD" ? c.body(null, 200, facts) : c.body(body, 200, facts);
  });
}

/** Decodes the pictures of a request, which shows whether they can be. The buffers move to the decoder, so these are copies. */
async function decodeAsked(
  c: Context<AppEnv>,
  context: ServerContext,
  files: EditFiles,
  name: string | undefined,
): Promise<AskedPictures> {
  const { model } = servedModel(context, name);
  const { image, mask } = files;
  const copies = { image: image.slice(), ...(mask ? { mask: mask.slice() } : {}) };
  return { files, decoded: await decodeFiles(context, copies, model, askerOf(c)), model };
}

/**
 * Reads `limit` and `before`.
 *
 * @throws {ProblemError} 400 naming the parameter
 */
function readListQuery(
  c: Context,
  get: (id: string) => StoredJob | undefined,
): { readonly limit: number; readonly before?: number } {
  const { limit = String(LISTED[0]), before } = readQuery(c, listParameters);
  const number = /^\d+$/.test(limit) ? Number(limit) : 0;
  if (number < 1 || number > LISTED[1]) {
    const allowed = `a whole number from 1 to ${LISTED[1]}`;
    throw ProblemError.fields([{ field: "limit", value: limit, allowed }]);
  }
  if (before === undefined) return { limit: number };
  const job = get(before);
  if (!job) throw ProblemError.fields([{ field: "before", value: before, allowed: "the id of a job" }]);
  return { limit: number, before: job.number };
}

/** @throws {ProblemError} 400 for a key that is too long or has other characters than printable ASCII */
function readKey(c: Context): string | undefined {
  const key = c.req.header("Idempotency-Key");
  if (key === undefined || /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  const allowed = "1 to 255 printable ASCII characters";
  throw ProblemError.fields([{ field: "Idempotency-Key", value: key, allowed }]);
}

function describeRoutes(
  app: App,
  schema: ReturnType<typeof jobRequestSchema>,
  context: ServerContext,
): void {
  const { keepJobs } = context.settings;
  const { openAPIRegistry: registry } = app;
  const one = { request: { params: idParameters } };
  registry.registerPath({
    method: "post",
    path: "/jobs",
    summary: "Draw many images in the background",
    description:
      "Answers at once; the images are drawn in places that no other request wants, and survive a restart. " +
      "With a picture, a form with files or data URLs in JSON, they are drawn from it as by /v1/images/edits; it is kept " +
      "until the job ends. " +
      "The header Idempotency-Key makes it safe to send a request again: it gives the same job. " +
      `Jobs are kept for ${keepJobs} hours after their end. Only on a server with --jobs.`,
    request: {
      headers: z.object({ "Idempotency-Key": z.string().max(255).optional() }),
      body: {
        content: {
          "application/json": { schema },
          "multipart/form-data": { schema: jobFormSchema(context) },
        },
        required: true,
      },
    },
    responses: {
      202: jsonAnswer("The job", jobSchema),
      200: jsonAnswer("The job of an earlier request with this Idempotency-Key", jobSchema),
      ...problems(400, 401, 403, 413, 415, 422, 429, 503),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/jobs",
    summary: "List jobs, the newest first",
    description: "Those of this client or API key; with the server's token, all.",
    request: { query: listParameters },
    responses: { 200: jsonAnswer("Jobs", jobListSchema), ...problems(400, 401, 403) },
  });
  registry.registerPath({
    method: "get",
    path: "/jobs/{id}",
    summary: "Status of a job",
    ...one,
    responses: { 200: jsonAnswer("The job", jobSchema), ...problems(401, 403, 404) },
  });
  registry.registerPath({
    method: "delete",
    path: "/jobs/{id}",
    summary: "Cancel a job",
    description: "Images that are drawn already stay. A job that has ended stays as it is.",
    ...one,
    responses: { 200: jsonAnswer("The job", jobSchema), ...problems(401, 403, 404, 503) },
  });
  registry.registerPath({
    method: "get",
    path: "/jobs/{id}/events",
    summary: "Progress of a job",
    description: "Events: `job` with the job as JSON, at first and on each change, until it has ended.",
    ...one,
    responses: {
      200: textAnswer("Server-sent events", "text/event-stream"),
      ...problems(401, 403, 404),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/jobs/{id}/images/{file}",
    summary: "An image of a job",
    description: "0.png, 1.png, …; image i has the same bytes as /generate with seed + i.",
    request: { params: z.object({ id: z.string(), file: z.string() }) },
    responses: { 200: bytesAnswer("The image", ["image/png"]), ...problems(401, 403, 404) },
  });
  registry.registerPath({
    method: "get",
    path: "/jobs/{id}/images.zip",
    summary: "All images of a job",
    description: "Those that are drawn by now, as 0.png, 1.png, …",
    ...one,
    responses: { 200: bytesAnswer("A zip archive", ["application/zip"]), ...problems(401, 403, 404) },
  });
}
