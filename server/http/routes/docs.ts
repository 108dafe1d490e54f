/**
 * `GET /openapi.json`, and `GET /docs`, which renders it as a page without scripts.
 *
 * @module
 */
import { html, raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { jsonAnswer, textAnswer } from "../answers.ts";
import type { ServerContext } from "../context.ts";
import { mostSteps } from "../../../lib/diffusion/sampler.ts";
import { allowedClasses } from "../plan.ts";
import type { ServedModel } from "../../engine/engine.ts";
import { version } from "../../metrics.ts";
import type { App, AppEnv } from "../request.ts";
import { isAuthorized, requiresToken } from "../authentication.ts";
import { modelNames } from "../served.ts";

/** The part of an OpenAPI document that the page shows. */
interface ApiDocument {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> } & Record<string, unknown>;
}

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Readonly<Record<string, unknown>> }>
  >;
}

interface Parameter {
  readonly name: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Schema;
}

interface Schema {
  /** The name of a schema of its own. */
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  enum?: (string | null)[];
  readonly minimum?: number;
  maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

const STYLE = `:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
section { border-top: 1px solid #8886; margin-top: 2rem; }
h2 { font: 600 1.1rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
code { font-family: ui-monospace, monospace; }
`;

/**
 * Adds the routes. They describe all routes of `app` at the time of the request. They need no token, but list the model's
 * classes only with it.
 */
export function docsRoutes(app: App, context: ServerContext): void {
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/openapi.json",
    summary: "OpenAPI description",
    security: [],
    responses: { 200: jsonAnswer("OpenAPI 3.1", z.looseObject({})) },
  });
  const made = new Map<boolean, { readonly models: readonly unknown[]; readonly document: ApiDocument }>();
  const document = (c: Context<AppEnv>) => {
    const known = isAuthorized(c.req.header("Authorization"), context);
    const models = known ? context.device.models.flatMap(({ model }) => model ?? []) : [];
    // Cached per model: it takes longer than a health check may.
    let last = made.get(known);
    if (
      !last || last.models.length !== models.length || models.some((model, i) => model !== last?.models[i])
    ) {
      last = { models, document: describe(app, context, models) };
      made.set(known, last);
    }
    return last.document;
  };
  app.get("/openapi.json", (c) => c.json(document(c), 200, { Vary: "Authorization" }));

  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/docs",
    summary: "API documentation page",
    security: [],
    responses: { 200: textAnswer("A page", "text/html") },
  });
  app.get("/docs", (c) => c.html(page(document(c)), 200, { Vary: "Authorization" }));
  app.get("/docs/style.css", (c) => c.body(STYLE, 200, { "Content-Type": "text/css; charset=utf-8" }));
}

/** The OpenAPI document, including names and classes of the models that may be told of. */
function describe(app: App, context: ServerContext, models: readonly ServedModel[]): ApiDocument {
  const secured = requiresToken(context);
  const document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "denoise",
      version,
      description:
        "Draws images with a denoising diffusion model. Errors are problem details (RFC 9457) with the invalid " +
        "fields and their allowed values; under /v1 they are OpenAI error objects. Any request may fail with 421 " +
        "(unknown Host), 403 (cross-site request), 414 or 431 (too long). Request bodies must not be compressed.",
    },
    ...(secured ? { security: [{ token: [] }] } : {}),
  }) as unknown as ApiDocument;
  if (secured) {
    const description = "The server's token, or an API key of its operator's.";
    document.components.securitySchemes = { token: { type: "http", scheme: "bearer", description } };
  }
  if (models.length === 0) return document;
  for (const { get } of Object.values(document.paths)) {
    for (const { name, schema } of get?.parameters ?? []) {
      if (name === "model") schema.enum = modelNames(context);
      if (name === "class") schema.enum = [...new Set(models.flatMap(allowedClasses))];
      if (name === "steps") {
        schema.maximum = Math.max(...models.map(({ schedule }) => mostSteps(schedule, schema.maximum)));
      }
    }
  }
  return document;
}

type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

function page({ info, paths, components }: ApiDocument): Html {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      section(`${method.toUpperCase()} ${path}`, operation, components.schemas)
    )
  );
  return html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>${info.title}: API</title>
        <link rel="stylesheet" href="docs/style.css">
      </head>
      <body>
    <h1>${info.title} ${info.version}</h1>
    <p>${info.description}</p>
    <p>For programs: <a href="openapi.json">openapi.json</a></p>
    ${operations}
      </body>
    </html>
  `;
}

function section(
  title: string,
  { summary, description, parameters = [], requestBody, responses }: Operation,
  schemas: ApiDocument["components"]["schemas"],
): Html {
  const fields = parameters.map(({ name, schema, description }) =>
    row(name, schema, description ?? schema.description)
  );
  const bodies = Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) => {
    const { properties = {}, required = [] } = schemas[schema.$ref?.split("/").at(-1) ?? ""] ?? schema;
    const members = Object.entries(properties).map(([name, member]) =>
      row(name, member, `${required.includes(name) ? "Required. " : ""}${member.description ?? ""}`)
    );
    return table(`Body, ${type}`, members);
  });
  const answers = Object.entries(responses).map(([status, { description, content = {} }]) =>
    html`
      <tr>
        <th>${status}</th>
        <td>${Object.keys(content).join(", ")}</td>
        <td>${description}</td>
      </tr>
    `
  );
  return html`<section>
<h2>${title}</h2>
<p><strong>${summary}</strong></p>
${description ? html`<p>${description}</p>` : raw("")}
${fields.length > 0 ? table("Parameters", fields) : raw("")}
${bodies}
${table("Answers", answers)}
</section>`;
}

function table(title: string, rows: readonly Html[]): Html {
  return html`
    <h3>${title}</h3>
    <table>${rows}</table>
  `;
}

function row(name: string, schema: Schema, description: string | undefined): Html {
  return html`
    <tr>
      <th><code>${name}</code></th>
      <td>${range(schema)}</td>
      <td>${description}</td>
    </tr>
  `;
}

function range({ type = [], enum: words, minimum, maximum, minLength, maxLength }: Schema): string {
  if (words) return words.filter((word) => word !== null).join(", ");
  const kind = [type].flat().join(" or ");
  if (maxLength !== undefined) return `${kind}, ${minLength ?? 0} to ${maxLength} characters`;
  return minimum === undefined ? kind : `${kind}, ${minimum} to ${maximum}`;
}
