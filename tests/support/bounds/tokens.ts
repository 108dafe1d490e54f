/** Tokens of WGSL, with their places in the text. */

export interface Token {
  readonly text: string;
  readonly kind: "word" | "number" | "symbol";
  /** Place of the first character, and of the one after the last. */
  readonly start: number;
  readonly end: number;
}

const NUMBER =
  /(?:0[xX][\da-fA-F]*\.?[\da-fA-F]*(?:[pP][+-]?\d+)?|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[iufh]?/y;
const WORD = /[A-Za-z_]\w*/y;
// `<`, `>` and `=` stay single where that does not matter, so that nested templates need no care.
const SYMBOL = /->|&&|\|\||[+\-*\/%&|^]=|\+\+|--|[^\s\w]/y;

/** Splits a text without its comments. */
export function tokenize(code: string): Token[] {
  const text = code.replace(/\/\/.*$/gm, (comment) => " ".repeat(comment.length));
  if (text.includes("/*")) throw new Error("block comments are not understood");
  const tokens: Token[] = [];
  for (let at = 0; at < text.length;) {
    if (/\s/.test(text[at])) {
      at++;
      continue;
    }
    const found = ([["word", WORD], ["number", NUMBER], ["symbol", SYMBOL]] as const).find(([, pattern]) => {
      pattern.lastIndex = at;
      return pattern.test(text);
    });
    if (!found) throw new Error(`not understood: ${text.slice(at, at + 20)}`);
    const [kind, { lastIndex: end }] = found;
    tokens.push({ text: text.slice(at, end), kind, start: at, end });
    at = end;
  }
  return tokens;
}

const CLOSING: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}", "<": ">" };

/** Index of the token that closes the bracket at `open`. Brackets of `<` must belong to a template. */
export function closing(tokens: readonly Token[], open: number): number {
  const bracket = tokens[open].text;
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    if (tokens[i].text === bracket) depth++;
    else if (tokens[i].text === CLOSING[bracket] && --depth === 0) return i;
  }
  throw new Error(`${bracket} is not closed`);
}

/** Splits the tokens from `first` to `end`, which is excluded, at commas outside of all brackets. */
export function splitAtCommas(tokens: readonly Token[], first: number, end: number): [number, number][] {
  const parts: [number, number][] = [];
  let [depth, start] = [0, first];
  for (let i = first; i < end; i++) {
    const { text } = tokens[i];
    if ("([{<".includes(text)) depth++;
    else if (")]}>".includes(text)) depth--;
    else if (text === "," && depth === 0) {
      parts.push([start, i]);
      start = i + 1;
    }
  }
  if (start < end) parts.push([start, end]);
  return parts;
}
