/**
 * Parser of WGSL structs that are shared with TypeScript.
 *
 * @module
 */

/** Field type shared by CPU and kernels; four bytes each. */
export type ScalarType = "u32" | "i32" | "f32";

/** One field of a struct. */
export interface StructField {
  readonly name: string;
  readonly type: ScalarType;
  /** Comment at the end of its line; may be empty. */
  readonly comment: string;
}

/** Bytes of a {@linkcode ScalarType}. */
export const SCALAR_BYTES = 4;

const STRUCT = /^[ \t]*struct\s+(\w+)\s*\{((?:\/\/.*|[^}/]|\/(?!\/))*)\}/gm;
const FIELD = /^(\w+)\s*:\s*(u32|i32|f32)$/;

/**
 * Finds the structs of a WGSL text.
 *
 * @returns text between the braces, comments included, by name
 */
export function findStructs(text: string): Map<string, string> {
  return new Map([...text.matchAll(STRUCT)].map(([, name, body]) => [name, body]));
}

/**
 * Parses the fields of a struct body from {@linkcode findStructs}.
 *
 * @param name name of the struct in the error message
 * @throws {Error} if a field is not a scalar: layouts with padding are not supported
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
