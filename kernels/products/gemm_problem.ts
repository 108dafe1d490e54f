/**
 * Common description of convolutions and matrix products: C[i,j] = sum over k of A[i,k] B[k,j]. The problem gives WGSL that
 * locates its elements, and a generator (gemm_subgroup.ts or gemm_tile.ts) the layout of the work.
 *
 * An operand's four elements either follow each other along k (of one line: a row of A, a column of B), or lie on four
 * consecutive lines at one k. Columns of B (along `lines`) and of C move in groups of a tile's `width`, so that the same
 * problem can be laid out for few columns. The types that problems are written in:
 *
 *   Columns         `WIDTH` floats: what is computed
 *   StoredColumns   the same as it lies in memory, where it is an activation or a weight: float32, or float16 (`half`)
 *   Stored4         likewise four elements; `Stored` one
 *
 * @module
 */

/** How one operand's elements are loaded. All strings are WGSL. */
export interface GemmOperand {
  /** What the four elements of a load have in common. */
  readonly along: "k" | "lines";
  /**
   * Statements, run once, that find a line (or, for `lines`, a quad of lines) for later loads.
   * @param slot a prefix for the variables declared
   * @param line expression: index of the line, or of the quad of lines; may lie beyond the last one, and must then be clamped
   */
  setup(slot: string, line: string): string;
  /** Statements at the head of each turn of the problem's outer loop. */
  turn(slot: string): string;
  /**
   * Expression of type `Stored4`, or `StoredColumns` for columns along `lines`.
   * @param k expression: index of the quad along k within the turn (`k`), or of the single k (`lines`)
   */
  load(slot: string, k: string): string;
  /** Expression: whether the slot's line has any element in this turn; absent where that is usual. */
  active?(slot: string): string;
  /**
   * Expression: whether any line from `first` to `last` may have an element in this turn, the same for a whole workgroup;
   * goes with `active`.
   */
  anyActive?(first: string, last: string): string;
}

/** A product to generate. All strings are WGSL. */
export interface GemmProblem {
  readonly name: string;
  /**
   * `Params`, bindings, and `fn store(place: u32, row: u32, column: u32, value: Columns)`, which gets the workgroup's z, a
   * row and a group of `WIDTH` columns; both may lie beyond the last ones.
   */
  readonly declarations: string;
  /** Statements that come first; they can read `place`, the workgroup's z. */
  readonly prologue: string;
  /**
   * The outer loop over k: a counter with its first value and its end, which is greater; absent for a single turn.
   * Loops test at their bottom: llvmpipe runs a whole body with all lanes off after a test at the top fails.
   */
  readonly loop?: { readonly counter: string; readonly first: string; readonly end: string };
  /** Statements at the head of each turn. */
  readonly turn: string;
  /** Expression: rows of the result. */
  readonly rows: string;
  /** Rows go to `store` renumbered by `fn target_row(row: u32) -> u32`, which is costly on a software adapter. */
  readonly targetRows?: boolean;
  /** Expression: quads along k in one turn. */
  readonly depth: string;
  readonly a: GemmOperand;
  readonly b: GemmOperand;
  /**
   * Also sums B over k (B along `lines`), and calls `fn store_sums(place: u32, column: u32, value: Columns)` in the first row
   * of tiles.
   */
  readonly columnSums?: boolean;
  /** Whether the WGSL counts on `WIDTH` being 4. */
  readonly wideOnly?: boolean;
}

/** Size of a product. */
export interface GemmSize {
  readonly rows: number;
  readonly columns: number;
  /** Products in a sum; only roughly where that differs between places. */
  readonly depth: number;
  /** How many such products the grid holds (batches, splits): few tiles in all ask for small ones. */
  readonly places: number;
}

/** Rows and columns of the result that one workgroup computes. */
export interface GemmTile {
  readonly rows: number;
  readonly columns: number;
  /** Columns that one load, accumulator and store hold: `WIDTH` in WGSL. */
  readonly width: TileWidth;
}

/** How many columns move together. */
export type TileWidth = 1 | 2 | 4;

/** WGSL that comes first: the types of a problem, `WIDTH`, and what tells the columns of a group apart: `FIRST_COLUMNS`. */
export function columnTypes(width: TileWidth, half: boolean): string {
  const vector = {
    1: ["f32", "f16", "u32", "0u"],
    2: ["vec2f", "vec2<f16>", "vec2u", "vec2u(0, 1)"],
    4: ["vec4f", "vec4<f16>", "vec4u", "vec4u(0, 1, 2, 3)"],
  };
  const [floats, halves, counts, first] = vector[width];
  return `${half ? "enable f16;" : ""}
alias Stored = ${half ? "f16" : "f32"};
alias Stored4 = vec4<Stored>;
alias StoredColumns = ${half ? halves : floats};
alias Columns = ${floats};
alias ColumnNumbers = ${counts};
const WIDTH = ${width}u;
const FIRST_COLUMNS = ${first};`;
}

/** `body` in the outer loop of a problem. */
export function outerLoop({ loop }: GemmProblem, body: string): string {
  if (!loop) return `{\n${body}\n}`;
  const { counter, first, end } = loop;
  return `var ${counter} = ${first};
  loop {
    ${body}
    continuing { ${counter}++; break if ${counter} >= ${end}; }
  }`;
}
