/**
 * Common description of convolutions and matrix products, C[i,j] = sum over k of A[i,k] B[k,j]. A problem supplies the WGSL
 * that addresses its elements; a generator (gemm_subgroup.ts, gemm_tile.ts or gemm_matrix.ts) supplies the thread mapping.
 *
 * The four elements of an operand's load are either consecutive along k (of one line: a row of A, a column of B), or on four
 * consecutive lines at one k. Columns of B (along `lines`) and of C are accessed in groups of a tile's `width`, so that the
 * same problem can use narrow tiles. WGSL types of problems:
 *
 *   Columns         `WIDTH` floats, as computed
 *   StoredColumns   the same as stored in activations and weights: float32, or float16 (`half`)
 *   Stored4         four stored elements; `Stored` one
 *
 * @module
 */

/** Loads of an operand. All strings are WGSL. */
export interface GemmOperand {
  /** Direction of the four elements of a load. */
  readonly along: "k" | "lines";
  /**
   * Statements, run once, that address a line (or, for `lines`, a quad of lines) for later loads.
   * @param slot prefix of the declared variables
   * @param line expression: index of the line, or of the quad of lines; may be past the last one, and must then be clamped
   */
  setup(slot: string, line: string): string;
  /** Statements at the start of each iteration of the problem's outer loop. */
  turn(slot: string): string;
  /**
   * Expression of type `Stored4`, or `StoredColumns` for columns along `lines`.
   * @param k expression: index within the iteration of the quad along k (`k`), or of the single k (`lines`); never past the last
   * @param inside condition; where it is false, elements must be zero
   */
  load(slot: string, k: string, inside?: string): string;
  /** A second tensor, which has the elements of some lines, or of some iterations. */
  readonly second?: {
    /** Condition, the same for all loads of a thread in an iteration. */
    when(slot: string): string;
    /** As that of the operand, without a condition. */
    load(slot: string, k: string): string;
  };
  /** Expression: true if the slot's line has any element in this iteration; absent if it usually has. */
  active?(slot: string): string;
  /**
   * Expression, uniform in the workgroup: true if any line from `first` to `last` may have an element in this iteration;
   * required with `active`.
   */
  anyActive?(first: string, last: string): string;
}

/** Matrix product to generate. All strings are WGSL. */
export interface GemmProblem {
  readonly name: string;
  /**
   * `Params`, bindings, and `fn store(place: u32, row: u32, column: u32, value: Columns)` with the workgroup's z, a row and a
   * group of `WIDTH` columns; row and column may be past the last.
   */
  readonly declarations: string;
  /** Statements before the loop; may read `place`, the workgroup's z. */
  readonly prologue: string;
  /**
   * Outer loop over k: counter, first value and end, which is greater; absent for a single iteration.
   * The exit test is at the bottom: with one at the top, llvmpipe runs the body once more with all lanes off.
   */
  readonly loop?: { readonly counter: string; readonly first: string; readonly end: string };
  /** Statements at the start of each iteration. */
  readonly turn: string;
  /** Expression: rows of the result. */
  readonly rows: string;
  /** Renumber rows for `store` by `fn target_row(row: u32) -> u32`, which is expensive on a software adapter. */
  readonly targetRows?: boolean;
  /** Expression: quads along k per iteration. */
  readonly depth: string;
  /** Expression: k per iteration, if that can be fewer than four per quad. */
  readonly terms?: string;
  readonly a: GemmOperand;
  readonly b: GemmOperand;
  /**
   * Also sum B over k (B along `lines`), and call `fn store_sums(place: u32, column: u32, value: Columns)` in the first row
   * of tiles.
   */
  readonly columnSums?: boolean;
  /** The WGSL requires a `WIDTH` of 4. */
  readonly wideOnly?: boolean;
  /** Small products take too little of any step to be worth pipelines of their own on a software adapter. */
  readonly oneLayout?: boolean;
}

/** Size of a batched product. */
export interface GemmSize {
  readonly rows: number;
  readonly columns: number;
  /** Terms per sum; approximate if places differ. */
  readonly depth: number;
  /** Terms per iteration of the problem's outer loop. */
  readonly turn: number;
  /** Number of products in the grid (batch entries, split-k parts); few tiles in total favour small ones. */
  readonly places: number;
}

/** Tile of the result computed by a workgroup. */
export interface GemmTile {
  readonly rows: number;
  readonly columns: number;
  /** Columns per load, accumulator and store: `WIDTH` in WGSL. */
  readonly width: TileWidth;
}

/** Columns per load, accumulator and store. */
export type TileWidth = 1 | 2 | 4;

/** WGSL prelude: the types of a problem, `WIDTH`, and `FIRST_COLUMNS`, the column offsets within a group. */
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

/**
 * Statements with the loads of an operand, which `statements` makes from the expression of one. For a second tensor there is
 * one branch around all of them: with a branch for each, a compiler may wait for a load before it issues the next. Nor should
 * they compute with what they load.
 */
export function withLoads(
  { load, second }: GemmOperand,
  slot: string,
  statements: (load: GemmOperand["load"]) => string,
): string {
  if (!second) return statements(load);
  return `if (${second.when(slot)}) {
      ${statements(second.load)}
    } else {
      ${statements(load)}
    }`;
}

/** Value that is zero where a condition, if there is one, is false. The value's index must be in bounds either way. */
export function masked(type: "Stored4" | "StoredColumns", value: string, inside?: string): string {
  return inside === undefined ? value : `select(${type}(), ${value}, ${inside})`;
}

/**
 * Operand that must be zero past the last k of an iteration, where loads repeat the last one instead of leaving the tensor: B
 * if it is summed. One suffices, since the other repeats numbers that are part of the same sums.
 */
export function zeroOperand({ columnSums }: Pick<GemmProblem, "columnSums">): "a" | "b" {
  return columnSums ? "b" : "a";
}

/** Wraps `body` in the outer loop of a problem. */
export function outerLoop({ loop }: GemmProblem, body: string): string {
  if (!loop) return `{\n${body}\n}`;
  const { counter, first, end } = loop;
  return `var ${counter} = ${first};
  loop {
    ${body}
    continuing { ${counter}++; break if ${counter} >= ${end}; }
  }`;
}
