/**
 * What convolutions and matrix products have in common: C[i,j] = sum over k of A[i,k] B[k,j], where each problem says in WGSL
 * how its elements are found, and a generator (gemm_subgroup.ts or gemm_tile.ts) says how the work is laid out.
 *
 * Elements move as `vec4f`. An operand's four elements either follow each other along k (of one line: a row of A, a column of
 * B), or lie on four consecutive lines at one k.
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
   * Expression of type `vec4f`.
   * @param k expression: index of the quad along k within the turn (`k`), or of the single k (`lines`)
   */
  load(slot: string, k: string): string;
}

/** A product to generate. All strings are WGSL. */
export interface GemmProblem {
  readonly name: string;
  /**
   * `Params`, bindings, and `fn store(place: u32, row: u32, column: u32, value: vec4f)`, which gets the workgroup's z, a row
   * and a quad of columns; both may lie beyond the last ones.
   */
  readonly declarations: string;
  /** Statements that come first; they can read `place`, the workgroup's z. */
  readonly prologue: string;
  /** Head of the outer loop over k, up to and without its brace; empty for a single turn. */
  readonly loop: string;
  /** Statements at the head of each turn. */
  readonly turn: string;
  /** Expression: rows of the result. */
  readonly rows: string;
  /** Expression: quads along k in one turn. */
  readonly depth: string;
  readonly a: GemmOperand;
  readonly b: GemmOperand;
  /**
   * Also sums B over k (B along `lines`), and calls `fn store_sums(place: u32, column: u32, value: vec4f)` in the first row
   * of tiles.
   */
  readonly columnSums?: boolean;
}

/** Rows and columns of the result that one workgroup computes. */
export interface GemmTile {
  readonly rows: number;
  readonly columns: number;
}
