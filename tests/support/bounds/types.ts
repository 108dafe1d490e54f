/** Types of WGSL, as far as an index needs them. */
import { closing, splitAtCommas, type Token } from "./tokens.ts";

export type Type =
  | {
    readonly kind: "array";
    readonly element: Type; /** WGSL; absent: sized by the binding. */
    readonly size?: string;
  }
  | { readonly kind: "vector"; readonly size: number }
  | { readonly kind: "matrix"; /** Columns. */ readonly size: number; readonly rows: number }
  | { readonly kind: "struct"; readonly members: ReadonlyMap<string, Type> }
  | { readonly kind: "scalar" };

const SCALAR: Type = { kind: "scalar" };
const SCALARS = /^(?:bool|f16|f32|i32|u32|atomic)$/;
const VECTOR = /^vec([234])[fhiu]?$/;
const MATRIX = /^mat([234])x([234])[fh]?$/;

/** Declared types at module scope. */
export class Types {
  readonly #named = new Map<string, Type>();

  declare(name: string, type: Type): void {
    this.#named.set(name, type);
  }

  /** Type with this name, template arguments aside; undefined for a word that names none. */
  named(name: string): Type | undefined {
    const vector = VECTOR.exec(name);
    if (vector) return { kind: "vector", size: Number(vector[1]) };
    const matrix = MATRIX.exec(name);
    if (matrix) return { kind: "matrix", size: Number(matrix[1]), rows: Number(matrix[2]) };
    return SCALARS.test(name) ? SCALAR : this.#named.get(name);
  }

  /** Reads the type at `at`; also returns the index of the token after it. */
  read(tokens: readonly Token[], at: number, code: string): { readonly type: Type; readonly next: number } {
    const name = tokens[at].text;
    const open = at + 1;
    const end = tokens[open]?.text === "<" ? closing(tokens, open) : undefined;
    const next = (end ?? at) + 1;
    if (name === "array" && end !== undefined) {
      const [element, size] = splitAtCommas(tokens, open + 1, end);
      return {
        type: {
          kind: "array",
          element: this.read(tokens, element[0], code).type,
          ...size ? { size: code.slice(tokens[size[0]].start, tokens[size[1] - 1].end) } : {},
        },
        next,
      };
    }
    const type = this.named(name);
    if (!type) throw new Error(`the type ${name} is not understood`);
    return { type, next };
  }
}

/** Type of a member: of a struct, or one or several components of a vector. */
export function memberOf(type: Type, member: string): Type {
  if (type.kind === "struct") {
    const found = type.members.get(member);
    if (found) return found;
  }
  if (type.kind === "vector" && /^(?:[xyzw]{1,4}|[rgba]{1,4})$/.test(member)) {
    return member.length === 1 ? SCALAR : { kind: "vector", size: member.length };
  }
  throw new Error(`member ${member} of a ${type.kind} is not understood`);
}

/** Type of an element of an array or vector, or of a column of a matrix. */
export function elementOf(type: Type): Type {
  if (type.kind === "array") return type.element;
  if (type.kind === "vector") return SCALAR;
  if (type.kind === "matrix") return { kind: "vector", size: type.rows };
  throw new Error(`an index into a ${type.kind} is not understood`);
}
