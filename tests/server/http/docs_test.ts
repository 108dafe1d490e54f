import assert from "node:assert/strict";
import { harness } from "../../support/server/harness.ts";

const TOKEN = "correct-horse-battery-staple";
const withToken = { headers: { Authorization: `Bearer ${TOKEN}` } };

type Json = Readonly<Record<string, unknown>>;

/** Every value of a document, with the way to it. */
function* walk(value: unknown, path: readonly string[] = []): Generator<[readonly string[], unknown]> {
  yield [path, value];
  if (typeof value !== "object" || value === null) return;
  for (const [name, member] of Object.entries(value)) yield* walk(member, [...path, name]);
}

Deno.test("the description is whole: every reference leads somewhere, every operation says what it answers", async () => {
  const { ask, app } = harness({ token: TOKEN });
  const document = await (await ask("/openapi.json", withToken)).json();
  assert.equal(document.openapi, "3.1.0");
  assert.deepEqual(Object.keys(document.info).sort(), ["description", "title", "version"]);
  const { schemas, securitySchemes } = document.components;

  const references = [...walk(document)].filter(([path]) => path.at(-1) === "$ref").map(([, to]) =>
    String(to)
  );
  assert.ok(references.length > 10);
  for (const reference of references) {
    const [, name] = /^#\/components\/schemas\/(\w+)$/.exec(reference)!;
    assert.equal(typeof schemas[name], "object", reference);
  }

  const types = ["string", "number", "integer", "boolean", "array", "object", "null"];
  for (const [path, value] of walk(document)) {
    const where = path.join(".");
    if (path.at(-1) === "type" && path.at(-2) !== "properties" && typeof value === "string") {
      const known = path.at(-3) === "securitySchemes" ? ["http"] : types;
      assert.ok(known.includes(value), `${where}: ${value}`);
    }
    if (path.at(-1) === "required" && Array.isArray(value)) {
      const { properties } = path.slice(0, -1).reduce((node, name) => node[name], document);
      for (const name of value) assert.ok(Object.hasOwn(properties, name), `${where}: ${name}`);
    }
  }

  const described: string[] = [];
  for (const [path, methods] of Object.entries<Record<string, Json>>(document.paths)) {
    assert.match(path, /^(\/[\w.{}-]+)+$/);
    for (const [method, operation] of Object.entries(methods)) {
      const where = `${method} ${path}`;
      described.push(where);
      assert.ok(["get", "post", "delete"].includes(method), where);
      assert.ok(String(operation.summary).length > 5, where);
      const responses = Object.entries(operation.responses as Record<string, Json>);
      assert.ok(responses.some(([status]) => status === "200"), where);
      for (const [status, { description, content }] of responses) {
        assert.match(status, /^[2-5]\d\d$/, where);
        assert.ok(String(description).length > 0, `${where} ${status}`);
        for (const [type, { schema }] of Object.entries((content ?? {}) as Record<string, Json>)) {
          assert.match(type, /^[a-z]+\/[a-z+-]+$/);
          assert.ok(schema, `${where} ${status} ${type}`);
        }
      }
      const parameters = (operation.parameters ?? []) as Json[];
      const inPath = parameters.filter((one) => one.in === "path").map((
        { name, required },
      ) => [name, required]);
      assert.deepEqual(inPath, [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name, true]), where);
      for (const parameter of parameters) assert.ok(parameter.schema && parameter.name, where);
      for (const requirement of (operation.security ?? document.security) as Json[]) {
        for (const name of Object.keys(requirement)) assert.ok(securitySchemes[name], where);
      }
    }
  }
  const served = app.routes
    .filter(({ method, path }) =>
      method !== "ALL" && method !== "OPTIONS" && !/^\/($|page\/|docs\/)/.test(path)
    )
    .map(({ method, path }) => `${method.toLowerCase()} ${path.replace(/:(\w+)/g, "{$1}")}`);
  assert.deepEqual(described.sort(), [...new Set(served)].sort(), "what is served is what is described");
});

Deno.test("without the token the description can be read, and names no classes", async () => {
  const { ask, engine } = harness({ token: TOKEN, engine: { model: { classes: ["secret-ox"] } } });
  for (const path of ["/docs", "/openapi.json"]) {
    for (const [init, known] of [[{}, false], [withToken, true], [{}, false]] as const) {
      const answer = await ask(path, init);
      assert.deepEqual([answer.status, answer.headers.get("Vary")], [200, "Authorization"], path);
      assert.equal((await answer.text()).includes("secret-ox"), known, path);
    }
  }
  engine.up({ classes: ["ibex"] });
  assert.ok((await (await ask("/docs", withToken)).text()).includes("ibex"));
});

Deno.test("docs shows what a body may hold, and the page leads there", async () => {
  const { ask } = harness();
  const page = (await (await ask("/docs")).text()).replace(/<[^>]+>/g, " ").replace(/\s+/g, " ");
  for (
    const text of [
      "Body, application/json",
      "prompt string, 1 to 1000 characters Required. Searched for",
      "response_format b64_json, url ",
      "partial_images integer or null, 0 to 3 Previews",
      "output_compression ",
    ]
  ) {
    assert.ok(page.includes(text), text);
  }
  assert.match(await (await ask("/")).text(), /<a href="docs">/);
});
