import assert from "node:assert/strict";
import { z } from "@hono/zod-openapi";
import { fieldProblems } from "../../../server/http/field_problems.ts";

/** The problem with a value that a schema refuses. */
function problem(schema: z.ZodType, value: unknown) {
  const { error } = schema.safeParse(value);
  assert.ok(error);
  return fieldProblems(error.issues, value, schema).errors;
}

const point = z.strictObject({ across: z.number(), down: z.number() });
const given = { across: 1, down: 2, acros: 3 };

Deno.test("a wrong field within others is told with those that there are, however its object is wrapped", () => {
  const kinds: Record<string, z.ZodType> = {
    itself: point,
    optional: point.optional(),
    nullish: point.nullish(),
    "with a default": point.default({ across: 0, down: 0 }),
    refined: point.refine(() => true),
    transformed: point.transform(({ across }) => across),
  };
  for (const [kind, schema] of Object.entries(kinds)) {
    const [single] = problem(z.strictObject({ at: schema }), { at: given });
    assert.equal(single?.field, "at.acros", kind);
    assert.match(single?.allowed ?? "", /one of across, down/, kind);
    const [listed] = problem(z.strictObject({ all: z.array(schema) }), {
      all: [{ across: 1, down: 2 }, given],
    });
    assert.equal(listed?.field, "all.1.acros", kind);
    assert.match(listed?.allowed ?? "", /one of across, down/, kind);
  }
});

Deno.test("a schema of a kind whose fields cannot be listed is a fault of the program", () => {
  const schema = z.strictObject({ at: z.record(z.string(), point) });
  assert.throws(() => problem(schema, { at: { a: given } }), /^TypeError: fields .* of kind record /);
});
