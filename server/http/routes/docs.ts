/**
 * `GET /openapi.json`, and `GET /docs` which shows it to people. The page is made here, without scripts.
 *
 * @module
 */
import { html, raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";
import { z } from "@hono/zod-openapi";
import { jsonAnswer, problems, textAnswer } from "../answers.ts";
import type { ServerContext } from "../context.ts";
import { allowedClasses } from "../drawing.ts";
import { version } from "../../metrics.ts";
import type { App } from "../request.ts";

/** What is read here of an OpenAPI document. */
interface ApiDocument {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Readonly<Record<string, unknown>> }>
  >;
}

interface Parameter {
  readonly name: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: {
    readonly type?: string;
    description?: string;
    enum?: string[];
    readonly minimum?: number;
    maximum?: number;
    readonly example?: unknown;
  };
}

const STYLE = `:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
section { border-top: 1px solid #8886; margin-top: 2rem; }
h2 { font: 600 1.1rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
code { font-family: ui-monospace, monospace; }
`;

/** Adds the routes. They show what `app` has of routes when they are asked. */
export function docsRoutes(app: App, context: ServerContext): void {
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/openapi.json",
    summary: "This description, for programs",
    responses: { 200: jsonAnswer("OpenAPI 3.1", z.looseObject({})), ...problems(401) },
  });
  let made: { readonly model: unknown; readonly document: ApiDocument } | undefined;
  const document = () => {
    const { model } = context.engine;
    // Made once for each model: it takes longer than the answer to a health check may.
    if (made?.model !== model || !made) made = { model, document: describe(app, context) };
    return made.document;
  };
  app.get("/openapi.json", (c) => c.json(document()));

  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/docs",
    summary: "This description, for people",
    responses: { 200: textAnswer("A page", "text/html"), ...problems(401) },
  });
  app.get("/docs", (c) => c.html(page(document())));
  app.get("/docs/style.css", (c) => c.body(STYLE, 200, { "Content-Type": "text/css; charset=utf-8" }));
}

/** The OpenAPI document, with what depends on the model that is served. */
function describe(app: App, { engine, token }: ServerContext): ApiDocument {
  const document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "denoise",
      version,
      description:
        "Draws images with a denoising diffusion model. Errors are problems (RFC 9457) that name the " +
        "field and what is allowed; below /v1 they have the shape of OpenAI's.",
    },
    ...(token === undefined ? {} : { security: [{ token: [] }] }),
  }) as unknown as ApiDocument & { components: Record<string, unknown> };
  if (token !== undefined) {
    document.components.securitySchemes = { token: { type: "http", scheme: "bearer" } };
  }
  const { model } = engine;
  if (!model) return document;
  for (const { get } of Object.values(document.paths)) {
    for (const { name, schema } of get?.parameters ?? []) {
      if (name === "class") schema.enum = allowedClasses(model);
      if (name === "steps") schema.maximum = model.schedule.config.numTrainTimesteps;
    }
  }
  return document;
}

type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

function page({ info, paths }: ApiDocument): Html {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      section(`${method.toUpperCase()} ${path}`, operation)
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

function section(title: string, { summary, description, parameters = [], responses }: Operation): Html {
  const rows = parameters.map(({ name, schema, description }) =>
    html`
      <tr>
        <th><code>${name}</code></th>
        <td>${range(schema)}</td>
        <td>${description ?? schema.description}</td>
      </tr>
    `
  );
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
${
    rows.length > 0
      ? html`
        <h3>Parameters</h3>
        <table>${rows}</table>
      `
      : raw("")
  }
<h3>Answers</h3>
<table>${answers}</table>
</section>`;
}

function range({ type, enum: words, minimum, maximum }: Parameter["schema"]): string {
  if (words) return words.join(", ");
  return minimum === undefined ? type ?? "" : `${type}, ${minimum} to ${maximum}`;
}
