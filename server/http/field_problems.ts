/**
 * Problems with the fields of a request, from zod's issues.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { withSuggestion } from "../../lib/suggest.ts";
import { type FieldFault, MOST_ERRORS, ProblemError } from "./problem.ts";

/** The part of a zod issue that is used here. */
interface Issue {
  readonly code?: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
}

/**
 * Converts zod issues to a problem.
 *
 * @param issues zod issues; their messages say what is allowed
 * @param given what was parsed
 * @param schema what it was parsed by
 */
export function fieldProblems(issues: readonly Issue[], given: unknown, schema: z.ZodType): ProblemError {
  return ProblemError.fields(issues.flatMap(({ code, path, message, keys = [] }): FieldFault[] => {
    const at = [...path, ""].join(".");
    if (code === "unrecognized_keys") {
      const values = keys.map((key) => [key, valueAt(given, [...path, key])] as const);
      return unknownFields(values, namesAt(schema, path))
        .map((fault) => ({ ...fault, field: `${at}${fault.field}` }));
    }
    return [{ field: at.slice(0, -1), value: valueAt(given, path), allowed: message }];
  }));
}

/**
 * Faults of fields that do not exist, with the nearest that do.
 *
 * @param given names and values
 * @param names of the fields that there are
 * @param where they are, before "one of …"
 */
export function unknownFields(
  given: readonly (readonly [name: string, value: unknown])[],
  names: readonly string[],
  where = "",
): FieldFault[] {
  const allowed = names.length > 0 ? `${where}one of ${names.join(", ")}` : "none";
  return given.map(([field, value], i) => {
    const known = i < MOST_ERRORS ? names : []; // further ones are not listed
    return { field, value, allowed, unknown: withSuggestion("unknown parameter", field, known) };
  });
}

function valueAt(given: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce((value, key) => Object(value)[key], given);
}

/**
 * Names of the fields of an object within another.
 *
 * @throws {TypeError} where the schema has another kind on the way: that kind is to be added here
 */
function namesAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodPipe) return namesAt(schema.in, path);
  if (
    schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault
  ) return namesAt(schema.unwrap(), path);
  const [key, ...rest] = path;
  if (schema instanceof z.ZodArray && key !== undefined) return namesAt(schema.element, rest);
  if (schema instanceof z.ZodObject) {
    return key === undefined ? Object.keys(schema.shape) : namesAt(schema.shape[String(key)], rest);
  }
  const kind = schema instanceof z.ZodType ? schema.type : typeof schema;
  throw new TypeError(`fields of a schema of kind ${kind} are not known`);
}
