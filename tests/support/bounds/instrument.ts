/**
 * Bounds checks in WGSL: every index of an array, vector or matrix is compared with its size, that of the bound range for storage
 * buffers, and the last one outside that an invocation meets is reported in a storage buffer of bind group 1.
 *
 * An access that is not understood throws, so that none is left out: pointers, indices into the results of expressions, types
 * that cannot be inferred.
 */
import { closing, splitAtCommas, type Token, tokenize } from "./tokens.ts";
import { elementOf, memberOf, type Type, Types } from "./types.ts";

/** An index in a kernel's text. */
export interface Site {
  /** The text of the access, e.g. `x[at + 1u]`. */
  readonly access: string;
  readonly line: number;
}

export interface Instrumented {
  readonly code: string;
  /** All checked indices; their numbers in the report buffer count from the first site of the kernel. */
  readonly sites: readonly Site[];
  /** Number of indices that are constants inside of an array or vector of known size. */
  readonly constant: number;
}

/** Bind group of the report, and words that it has per site: largest index outside, and 1 + the size there. */
export const REPORT_GROUP = 1;
export const WORDS_PER_SITE = 2;

const REPORT = `
@group(${REPORT_GROUP}) @binding(0) var<storage, read_write> bounds_report: array<atomic<u32>>;
var<private> bounds_site: u32 = 0u; // 1 + number of the site
var<private> bounds_index: u32 = 0u;
var<private> bounds_size: u32 = 0u;
fn bounds_checked(site: u32, index: u32, size: u32) -> u32 {
  if (index >= size) {
    bounds_site = site + 1u;
    bounds_index = index;
    bounds_size = size;
  }
  return index;
}
fn bounds_tell() {
  if (bounds_site != 0u) {
    atomicMax(&bounds_report[${WORDS_PER_SITE}u * (bounds_site - 1u)], bounds_index);
    atomicMax(&bounds_report[${WORDS_PER_SITE}u * (bounds_site - 1u) + 1u], bounds_size + 1u);
  }
}
`;

/** Adds checks to a kernel. @param firstSite number of its first site in the report */
export function instrument(code: string, firstSite = 0): Instrumented {
  return new Instrumenter(code, firstSite).run();
}

/** Names of functions that take a pointer to a buffer and access none of its elements. */
const HARMLESS = "arrayLength";

class Instrumenter {
  readonly #code: string;
  readonly #firstSite: number;
  readonly #tokens: readonly Token[];
  readonly #types = new Types();
  /** Types of variables, innermost scope last; of results of functions. */
  readonly #scopes: Map<string, Type | undefined>[] = [new Map()];
  readonly #results = new Map<string, Type>();
  /** Replacements in the text; equal places are insertions. */
  readonly #edits: [from: number, to: number, text: string][] = [];
  readonly #sites: Site[] = [];
  #constant = 0;

  constructor(code: string, firstSite: number) {
    this.#code = code;
    this.#firstSite = firstSite;
    this.#tokens = tokenize(code);
  }

  run(): Instrumented {
    this.#refusePointers();
    const bodies = this.#declarations();
    for (const body of bodies) this.#body(body);
    const indices = this.#tokens.filter(({ text }) => text === "[").length;
    if (indices !== this.#sites.length + this.#constant) {
      throw new Error(`${indices} indices, but ${this.#sites.length} checked and ${this.#constant} constant`);
    }
    return { code: this.#text() + REPORT, sites: this.#sites, constant: this.#constant };
  }

  #text(): string {
    let [text, done] = ["", 0];
    for (const [from, to, edit] of this.#edits.toSorted(([a], [b]) => a - b)) {
      text += this.#code.slice(done, from) + edit;
      done = to;
    }
    return text + this.#code.slice(done);
  }

  #is(at: number, text: string): boolean {
    return this.#tokens[at]?.text === text;
  }

  #slice(first: number, end: number): string {
    return this.#code.slice(this.#tokens[first].start, this.#tokens[end - 1].end);
  }

  #refusePointers(): void {
    this.#tokens.forEach(({ text, start }, i) => {
      const before = this.#tokens[i - 1];
      const unary = !before ||
        before.kind === "symbol" && !")]".includes(before.text) && before.text !== ">" ||
        before.text === "return";
      const harmless = before?.text === "(" && this.#is(i - 2, HARMLESS);
      if (text === "ptr" || (text === "&" || text === "*") && unary && !harmless) {
        throw new Error(`pointers are not understood: ${this.#code.slice(start, start + 40)}`);
      }
    });
  }

  /** Reads all declarations at module scope; returns the functions' parameters and bodies. */
  #declarations(): FunctionBody[] {
    const bodies: FunctionBody[] = [];
    const variables: [name: string, at: number][] = [];
    for (let i = 0; i < this.#tokens.length;) {
      const { text } = this.#tokens[i];
      const name = this.#tokens[i + 1]?.text;
      if (text === "@") {
        const arguments_ = this.#is(i + 2, "(");
        i = arguments_ ? closing(this.#tokens, i + 2) + 1 : i + 2;
      } else if (text === "fn") {
        const [open, close] = [i + 2, closing(this.#tokens, i + 2)];
        const brace = this.#next("{", close);
        bodies.push({ start: i, name, open, close, brace, end: closing(this.#tokens, brace) });
        i = bodies.at(-1)!.end + 1;
      } else if (text === "struct") {
        this.#types.declare(name, this.#struct(i + 2));
        i = closing(this.#tokens, i + 2) + 1;
      } else if (text === "alias") {
        this.#types.declare(name, this.#types.read(this.#tokens, i + 3, this.#code).type);
        i = this.#next(";", i) + 1;
      } else {
        if (text === "var") {
          const at = this.#is(i + 1, "<") ? closing(this.#tokens, i + 1) + 1 : i + 1;
          variables.push([this.#tokens[at].text, at + 1]);
        } else if (text === "const" || text === "override") variables.push([name, i + 2]);
        i = this.#next(";", i) + 1;
      }
    }
    for (const [name, at] of variables) this.#scopes[0].set(name, this.#declared(at));
    for (const { name, close } of bodies) {
      if (!this.#is(close + 1, "->")) continue;
      this.#results.set(name, this.#types.read(this.#tokens, close + 2, this.#code).type);
    }
    return bodies;
  }

  #isType(word: string): boolean {
    return word === "array" || this.#types.named(word) !== undefined;
  }

  /** Type of a variable, by its declaration after its name or by its value. */
  #declared(at: number): Type | undefined {
    if (this.#is(at, ":")) return this.#types.read(this.#tokens, at + 1, this.#code).type;
    return this.#is(at, "=") ? this.#valueType(at + 1) : undefined;
  }

  #struct(brace: number): Type {
    const members = new Map<string, Type>();
    for (const [first, end] of splitAtCommas(this.#tokens, brace + 1, closing(this.#tokens, brace))) {
      let at = first;
      while (this.#is(at, "@")) at = closing(this.#tokens, at + 2) + 1;
      if (at < end) {
        members.set(this.#tokens[at].text, this.#types.read(this.#tokens, at + 2, this.#code).type);
      }
    }
    return { kind: "struct", members };
  }

  /** Index of the next token with this text. */
  #next(text: string, from: number): number {
    const at = this.#tokens.findIndex((token, i) => i >= from && token.text === text);
    if (at < 0) {
      throw new Error(`no ${text} after ${this.#code.slice(this.#tokens[from].start).slice(0, 40)}`);
    }
    return at;
  }

  #body({ start, name, open, close, brace, end }: FunctionBody): void {
    const parameters = new Map<string, Type | undefined>();
    const names: string[] = [];
    const bare: string[] = [];
    for (const [first, last] of splitAtCommas(this.#tokens, open + 1, close)) {
      let at = first;
      while (this.#is(at, "@")) at = this.#is(at + 2, "(") ? closing(this.#tokens, at + 2) + 1 : at + 2;
      parameters.set(this.#tokens[at].text, this.#types.read(this.#tokens, at + 2, this.#code).type);
      names.push(this.#tokens[at].text);
      bare.push(this.#slice(at, last));
    }
    this.#scopes.push(parameters);
    // A loop's variable is in a scope around its body.
    const loopEnds = new Set<number>();
    for (let i = brace; i <= end; i++) {
      const { text } = this.#tokens[i];
      if (text === "for") loopEnds.add(closing(this.#tokens, closing(this.#tokens, i + 1) + 1));
      if (text === "{" || text === "for") this.#scopes.push(new Map());
      if (text === "}") this.#scopes.pop();
      if (loopEnds.has(i)) this.#scopes.pop();
      if (text === "let" || text === "var" || text === "const") {
        const at = this.#is(i + 1, "<") ? closing(this.#tokens, i + 1) + 1 : i + 1;
        this.#scopes.at(-1)!.set(this.#tokens[at].text, this.#declared(at + 1));
      }
      if (text === "[") this.#index(i);
    }
    this.#scopes.pop();
    if (!this.#isEntry(start)) return;
    // The body becomes a function that the entry point calls before it reports.
    const header = this.#slice(open, close + 1);
    this.#edits.push([
      this.#tokens[start].start,
      this.#tokens[brace].start,
      `fn ${name}${header} { bounds_${name}(${names.join(", ")}); bounds_tell(); }
fn bounds_${name}(${bare.join(", ")}) `,
    ]);
  }

  /** Index of the token that opens the bracket closed at `close`. */
  #opening(close: number): number {
    const bracket = this.#tokens[close].text;
    const opens = bracket === ")" ? "(" : "[";
    let depth = 0;
    for (let i = close; i >= 0; i--) {
      if (this.#is(i, bracket)) depth++;
      else if (this.#is(i, opens) && --depth === 0) return i;
    }
    throw new Error(`${bracket} is not opened`);
  }

  #isEntry(fn: number): boolean {
    // Attributes come before `fn`, and the end of another declaration before those.
    for (let i = fn - 1; i >= 0 && !";}".includes(this.#tokens[i].text); i--) {
      if (this.#is(i, "compute")) return true;
    }
    return false;
  }

  #index(open: number): void {
    const end = closing(this.#tokens, open);
    const first = this.#startOf(open);
    const access = this.#slice(first, end + 1);
    const type = this.#chainType(first, open);
    if (!type) throw new Error(`the type of ${this.#slice(first, open)} is not understood in ${access}`);
    const line = this.#code.slice(0, this.#tokens[open].start).split("\n").length;
    const size = this.#sizeOf(type, first, open);
    const [only] = this.#tokens.slice(open + 1, end);
    const literal = end === open + 2 && only.kind === "number" ? parseInt(only.text) : undefined;
    if (literal !== undefined && literal < parseInt(size)) {
      this.#constant++;
      return;
    }
    const site = this.#firstSite + this.#sites.length;
    const [from, to] = [this.#tokens[open].end, this.#tokens[end].start];
    this.#edits.push([from, from, `bounds_checked(${site}u, u32(`], [to, to, `), ${size})`]);
    this.#sites.push({ access: access.replace(/\s+/g, " "), line });
  }

  #sizeOf(type: Type, first: number, open: number): string {
    if (type.kind === "vector" || type.kind === "matrix") return `${type.size}u`;
    if (type.kind !== "array") throw new Error(`an index into a ${type.kind} is not understood`);
    if (type.size !== undefined) {
      return /^\d+u?$/.test(type.size) ? `${parseInt(type.size)}u` : `u32(${type.size})`;
    }
    const base = this.#slice(first, open);
    if (/[[(]/.test(base)) throw new Error(`the buffer ${base} is not understood`);
    return `arrayLength(&${base})`;
  }

  /** First token of the chain of members, indices and calls that ends before `end`. */
  #startOf(end: number): number {
    let at = end - 1;
    for (;;) {
      const { kind, text } = this.#tokens[at];
      if (text === "]") {
        at = this.#opening(at) - 1;
        continue;
      }
      if (text === ")") at = this.#opening(at) - 1;
      else if (kind !== "word") throw new Error(`not understood: ${this.#slice(at, end + 1)}`);
      if (this.#tokens[at].kind !== "word") throw new Error(`not understood: ${this.#slice(at, end + 1)}`);
      if (!this.#is(at - 1, ".")) return at;
      at -= 2;
    }
  }

  /** Type of a chain from `first` to before `end`; undefined if that is not all of it, or it cannot be inferred. */
  #chainType(first: number, end: number): Type | undefined {
    const { text, kind } = this.#tokens[first];
    if (kind !== "word") return undefined;
    let type: Type | undefined;
    let at = first + 1;
    if (this.#isType(text)) ({ type, next: at } = this.#types.read(this.#tokens, first, this.#code));
    else type = this.#is(at, "(") ? this.#results.get(text) : this.#variable(text);
    if (this.#is(at, "(")) at = closing(this.#tokens, at) + 1;
    while (type && at < end) {
      if (this.#is(at, "[")) {
        type = elementOf(type);
        at = closing(this.#tokens, at) + 1;
      } else if (this.#is(at, ".")) {
        type = memberOf(type, this.#tokens[at + 1].text);
        at += 2;
      } else return undefined;
    }
    return at === end ? type : undefined;
  }

  #variable(name: string): Type | undefined {
    return this.#scopes.findLast((scope) => scope.has(name))?.get(name);
  }

  /** Type of the value from `first` to the next semicolon, if it is a chain. */
  #valueType(first: number): Type | undefined {
    try {
      return this.#chainType(first, this.#next(";", first));
    } catch {
      return undefined; // an expression; whether anything needs its type shows later
    }
  }
}

/** Indices of tokens of a function. */
interface FunctionBody {
  /** `fn` */
  readonly start: number;
  readonly name: string;
  /** Parentheses of the parameters. */
  readonly open: number;
  readonly close: number;
  /** Braces of the body. */
  readonly brace: number;
  readonly end: number;
}
