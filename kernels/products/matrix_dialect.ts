/**
 * WGSL of matrix units: load, multiply-accumulate and store of matrices that a subgroup holds, in two dialects.
 *
 * - `subgroup_matrix`: the WGSL extension `chromium_experimental_subgroup_matrix` as Dawn 0.6.2 implements it, without the
 *   loads and stores with a boolean, which it deprecates. Offsets and strides count elements of the array that is loaded
 *   from, here vectors of four. A matrix that lies partly outside the array is read from its start instead, without an
 *   error, so every matrix must lie inside. Offsets must be uniform in the subgroup: they derive from `subgroup_id`.
 * - `emulation`: plain WGSL, for tests on adapters without matrix units. A loaded matrix is its offset; the
 *   multiply-accumulate reads workgroup memory. Each lane holds consecutive elements of a result in row order. Lanes are
 *   counted by `local_invocation_index`, so the adapter's own subgroups may have any size.
 *
 * @module
 */
import { range } from "../range.ts";
import type { MatrixShape, MatrixUnits } from "../target.ts";

/** Operand of the product as staged in workgroup memory: an array of `vec4<f16>`. */
export interface StagedOperand {
  /** Name of the array. */
  readonly array: string;
  /** `row_major`: a row's elements are consecutive; `col_major`: a column's are. */
  readonly order: "row_major" | "col_major";
  /** Distance between rows (`row_major`) or columns (`col_major`), in vectors. */
  readonly stride: number;
}

/** Array of `vec4f` in workgroup memory that results are stored to, in row order. */
export interface StoredResults {
  /** Name of the array. */
  readonly array: string;
  /** Distance between rows, in vectors. */
  readonly stride: number;
}

/** Kinds of matrices. */
export type MatrixKind = "left" | "right" | "result";

/** WGSL of a dialect. Offsets are WGSL expressions, in vectors. */
export interface MatrixDialect {
  /** Directives at the top of the text. */
  readonly enables: string;
  /** Types and functions at module scope. */
  readonly declarations: string;
  /** Attributes of the entry point. */
  readonly attributes: string;
  /** Parameters of the entry point besides `thread`, its `local_invocation_index`. */
  readonly parameters: readonly string[];
  /** Expression: the subgroup's index in its workgroup, uniform in the subgroup. */
  readonly subgroup: string;
  /**
   * Statements repeated for indices from 0 to `count - 1`.
   * @param index variable of the index, for nested repetitions
   * @param body statements for an index, an expression
   * @param step distance of the indices
   */
  repeat(index: string, count: number, body: (index: string) => string, step?: number): string;
  /** The index `by` after another. */
  after(index: string, by: number): string;
  /** Declares matrices, results being zero; {@linkcode MatrixDialect.matrix} refers to one by its indices. */
  declare(kind: MatrixKind, name: string, ...counts: number[]): string;
  /** Expression: a declared matrix. */
  matrix(name: string, ...indices: string[]): string;
  /** Loads an operand. */
  load(kind: "left" | "right", to: string, offset: string): string;
  /** Adds the product of two operands to a result. */
  multiplyAccumulate(result: string, left: string, right: string): string;
  /** Stores a result. */
  store(result: string, offset: string): string;
}

/** Creates the WGSL of a device's dialect for a matrix size. */
export function matrixDialect(
  units: MatrixUnits,
  shape: MatrixShape,
  left: StagedOperand,
  right: StagedOperand,
  results: StoredResults,
): MatrixDialect {
  const create = units.dialect === "emulation" ? emulation : subgroupMatrix;
  return create(units, shape, left, right, results);
}

type Create = typeof matrixDialect;

const TYPES: Readonly<Record<MatrixKind, string>> = { left: "Left", right: "Right", result: "Result" };

/** Every matrix is a variable of its own and all loops are unrolled, since matrices live in registers. */
const subgroupMatrix: Create = (
  { subgroupSize, sizeControl },
  { rows, columns, depth },
  left,
  right,
  results,
) => {
  const matrix = (name: string, ...indices: string[]) => [name, ...indices.map(parseFloat)].join("_");
  return {
    enables: `enable subgroups;
enable chromium_experimental_subgroup_matrix;
${sizeControl ? "enable subgroup_size_control;" : ""}`,
    declarations: `
alias Left = subgroup_matrix_left<f16, ${depth}, ${rows}>;
alias Right = subgroup_matrix_right<f16, ${columns}, ${depth}>;
alias Result = subgroup_matrix_result<f32, ${columns}, ${rows}>;`,
    attributes: sizeControl ? `@subgroup_size(${subgroupSize})` : "",
    parameters: ["@builtin(subgroup_id) subgroup_id: u32"],
    subgroup: "subgroup_id",
    repeat: (_, count, body, step = 1) => range(count / step).map((i) => body(`${i * step}u`)).join("\n"),
    after: (index, by) => `${parseFloat(index) + by}u`,
    declare: (kind, name, ...counts) => {
      const indices = counts.reduce<string[][]>(
        (all, count) => all.flatMap((before) => range(count).map((i) => [...before, `${i}`])),
        [[]],
      );
      return indices.map((each) => `var ${matrix(name, ...each)}: ${TYPES[kind]};`).join("\n");
    },
    matrix,
    load: (kind, to, offset) => {
      const { array, order, stride } = kind === "left" ? left : right;
      return `${to} = subgroupMatrixLoad<${TYPES[kind]}, ${order}>(&${array}, ${offset}, ${stride}u);`;
    },
    multiplyAccumulate: (result, left, right) =>
      `${result} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${result});`,
    store: (result, offset) =>
      `subgroupMatrixStore<row_major>(&${results.array}, ${offset}, ${result}, ${results.stride}u);`,
  };
};

/** WGSL expression of an element of a staged matrix. */
function element(
  { array, order, stride }: StagedOperand,
  offset: string,
  row: string,
  column: string,
): string {
  const [line, at] = order === "row_major" ? [row, column] : [column, row];
  return `f32(${array}[${offset} + ${line} * ${stride}u + ${at} / 4u][${at} % 4u])`;
}

/**
 * Matrices are arrays and loops stay loops: unrolled, llvmpipe compiles some kernels for a minute. In functions their first
 * index, 0, is written as `lane >> 16`, because Mesa would unroll them otherwise; around barriers it must be uniform.
 */
const emulation: Create = ({ subgroupSize }, { rows, columns, depth }, left, right, results) => {
  const elements = rows * columns / subgroupSize;
  const position = `let at = lane * ${elements}u + e;
    let row = at / ${columns}u;
    let column = at % ${columns}u;`;
  return {
    enables: "",
    declarations: `
alias Left = u32; // offset
alias Right = u32;
alias Result = array<f32, ${elements}>;

fn multiply_accumulate(before: Result, left: Left, right: Right, lane: u32) -> Result {
  var sums = before;
  for (var e = lane >> 16u; e < ${elements}u; e++) {
    ${position}
    var sum = sums[e];
    for (var k = lane >> 16u; k < ${depth}u; k++) {
      sum += ${element(left, "left", "row", "k")} * ${element(right, "right", "k", "column")};
    }
    sums[e] = sum;
  }
  return sums;
}
fn store_result(result: Result, offset: u32, lane: u32) {
  var sums = result;
  for (var e = lane >> 16u; e < ${elements}u; e++) {
    ${position}
    ${results.array}[offset + row * ${results.stride}u + column / 4u][column % 4u] = sums[e];
  }
}`,
    attributes: "",
    parameters: [],
    subgroup: `thread / ${subgroupSize}u`,
    repeat: (index, count, body, step = 1) =>
      `for (var ${index} = 0u; ${index} < ${count}u; ${index} += ${step}u) {\n${body(index)}\n}`,
    after: (index, by) => `${index} + ${by}u`,
    declare: (kind, name, ...counts) =>
      `var ${name}: ${counts.reduceRight((type, count) => `array<${type}, ${count}>`, TYPES[kind])};`,
    matrix: (name, ...indices) => name + indices.map((index) => `[${index}]`).join(""),
    load: (_, to, offset) => `${to} = ${offset};`,
    multiplyAccumulate: (result, left, right) =>
      `${result} = multiply_accumulate(${result}, ${left}, ${right}, thread % ${subgroupSize}u);`,
    store: (result, offset) => `store_result(${result}, ${offset}, thread % ${subgroupSize}u);`,
  };
};
