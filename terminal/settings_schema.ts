/**
 * JSON Schemas of settings files, by which editors complete, explain and check them. Draft-07, which editors support in full.
 *
 * @module
 */
import { relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import project from "../deno.json" with { type: "json" };
import { type FileEntry, SCHEMA_KEY } from "./settings_file.ts";
import type { JsonSchema } from "./values.ts";

/** A settings file's schema. */
export interface SchemaOptions {
  /** Its name in `schemas/`, without the extension. */
  readonly name: string;
  /** The task, `deno task train`. */
  readonly command: string;
  readonly description: string;
  readonly entries: readonly FileEntry[];
  /** Rules between settings. */
  readonly rules: readonly JsonSchema[];
}

/** JSON Schema of a task's settings files. */
export function settingsFileSchema(
  { name, command, description, entries, rules }: SchemaOptions,
): Record<string, unknown> {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    $id: `https://jsr.io/${project.name}/${project.version}/schemas/${name}.json`,
    title: `Settings of ${command}`,
    description: `${description} Relative paths are taken from the folder of the file.`,
    type: "object",
    properties: {
      [SCHEMA_KEY]: { description: "The schema of this file, for editors", type: "string" },
      ...Object.fromEntries(entries.map(({ key, schema }) => [key, schema])),
    },
    additionalProperties: false,
    ...rules.length === 0 ? {} : { allOf: rules },
    // VS Code's: settings files may have both.
    allowComments: true,
    allowTrailingCommas: true,
  };
}

/** Schemas of this copy of the project. */
const SCHEMAS = new URL("../schemas/", import.meta.url);

/**
 * Value of `$schema` in a settings file: where the schema is, in this copy of the project or in the published package.
 *
 * @param folder of the file, for a relative path; absolute without one
 */
export function schemaReference(name: string, folder?: string): string {
  const { href, protocol } = new URL(`${name}.json`, SCHEMAS);
  if (protocol !== "file:" || folder === undefined) return href;
  const path = relative(resolve(folder), fileURLToPath(href));
  if (resolve(path) === path) return pathToFileURL(path).href; // on another drive of Windows
  return (path.startsWith("..") ? path : `./${path}`).replaceAll("\\", "/");
}
