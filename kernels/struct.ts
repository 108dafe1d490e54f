/**
 * Structs in WGSL text: the fields that TypeScript fills in or reads, taken from the text itself.
 *
 * @module
 */

/** Type of a field that the CPU and a kernel share; each takes four bytes. */
export type ScalarType = "u32" | "i32" | "f32";

/** One field of a struct. */
export interface StructField {
  readonly name: string;
  readonly type: ScalarType;
  /** The comment at the end of its line; empty where there is none. */
  readonly comment: string;
}

/** Bytes of a {@linkcode ScalarType}. */
export const SCALAR_BYTES = 4;

const STRUCT = /^[ \t]*struct\s+(\w+)\s*\{((?:\/\/.*|[^}/]|\/(?!\/))*)\}/gm;
const FIELD = /^(\w+)\s*:\s*(u32|i32|f32)$/;

/**
 * Finds the structs of a WGSL text.
 *
 * @returns the text between the braces, comments included, by name
 */
export function findStructs(text: string): Map<string, string> {
  return new Map([...text.matchAll(STRUCT)].map(([, name, body]) => [name, body]));
}

/**
 * Parses what {@linkcode findStructs} finds.
 *
 * @param name of the struct, for the message
 * @throws {Error} for a field that is no scalar: layouts with padding are not supported
 */
export function parseFields(name: string, body: string): StructField[] {
  return body.split("\n").flatMap((line) => {
    const [code, ...comment] = line.split("//");
    const fields = code.split(/,(?![^<]*>)/).map((part) => part.trim()).filter((part) => part !== "");
    return fields.map((text, i): StructField => {
      const field = FIELD.exec(text);
      if (!field) throw new Error(`${name} holds scalar fields only, not "${text}"`);
      const last = i === fields.length - 1;
      return { name: field[1], type: field[2] as ScalarType, comment: last ? comment.join("//").trim() : "" };
    });
  });
}
