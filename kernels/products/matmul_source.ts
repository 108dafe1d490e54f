/**
 * WGSL of batched matrix products over strided layouts, as {@linkcode GemmProblem}s:
 *
 *   C[i,j] = alpha * sum over k of A[i,k] B[k,j] (+ addend[i,j])      for each (sample, head), the places of the grid
 *   C[i,j] = alpha * weights[i,j] (sum over k of A[i,k] B[k,j] - dots[i])      gradient of a softmax, see attention.ts
 *   C[i,j] = alpha * sum over k of A[i,k] B[k,j] (+ bias[j]) (+ row_bias[i / rows, j]) (+ addend[i,j])      1x1 convolution
 *
 * A [m, k], B [k, n], C, addend and weights [m, n], with strides of rows, samples and heads; as stored, C written with `=`;
 * dots [m] float32, contiguous over heads and samples; sums are float32. The vector variant requires every stride and offset
 * to be a multiple of 4; the scalar one accesses single elements, for other head sizes.
 *
 * @module
 */
import { type GemmOperand, type GemmProblem, masked } from "./gemm_problem.ts";

/** Computation of an element of C from its sum over k. All strings are WGSL. */
export interface MatmulEpilogue {
  /** Suffix of the kernel's name. */
  readonly name: string;
  /** Fields of `Params`. */
  readonly params?: string;
  /** Bindings 3 and from 5 on, with elements of type `stored`. */
  bindings(stored: string): string;
  /**
   * Body of `fn finish(place: u32, row: u32, column: u32, at: u32, value: T) -> T`; `at` is the element's index in `c`.
   * @param type T: f32, or Columns; `column` counts the same
   */
  finish(type: string): string;
}

/** alpha value (+ addend). */
export const ADD: MatmulEpilogue = {
  name: "",
  bindings: (stored) => `@group(0) @binding(3) var<storage, read> addend: array<${stored}>;`,
  finish: (type) => `
  var sum = params.alpha * value;
  if (params.has_addend != 0u) { sum += ${type}(addend[at]); }
  return sum;`,
};

/** alpha value (+ bias) (+ row bias) (+ addend); not in the scalar variant. */
export const ADD_BIASES: MatmulEpilogue = {
  name: "_biased",
  params: `
  has_bias: u32, has_row_bias: u32,
  sample_rows: u32,                        // rows that have the same row bias
  row_bias_first: u32, row_bias_row: u32,  // elements`,
  bindings: (stored) =>
    `${ADD.bindings(stored)}
@group(0) @binding(5) var<storage, read> bias: array<Columns>;
@group(0) @binding(6) var<storage, read> row_bias: array<Columns>;`,
  finish: (type) => `
  var sum = params.alpha * value;
  if (params.has_bias != 0u) { sum += bias[column]; }
  if (params.has_row_bias != 0u) {
    let first = row / params.sample_rows * params.row_bias_row + params.row_bias_first;
    sum += row_bias[first / WIDTH + column];
  }
  if (params.has_addend != 0u) { sum += ${type}(addend[at]); }
  return sum;`,
};

/** alpha weights (value - dots). */
export const SOFTMAX_GRADIENT: MatmulEpilogue = {
  name: "_softmax_gradient",
  bindings: (stored) =>
    `@group(0) @binding(3) var<storage, read> weights: array<${stored}>;
@group(0) @binding(5) var<storage, read> dots: array<f32>;`,
  finish: (type) => `
  return params.alpha * ${type}(weights[at]) * (value - dots[place * params.m + row]);`,
};

/** Kernel variant of a product. */
export interface MatmulVariant {
  transposedA: boolean;
  transposedB: boolean;
  scalar: boolean;
  epilogue: MatmulEpilogue;
}

/** True if the loads of an operand hold columns of the result. */
function isColumns(name: "a" | "b", alongK: boolean): boolean {
  return name === "b" && !alongK;
}

/**
 * Operand whose elements are contiguous along k (`alongK`) or along lines (rows of A, columns of B). In a quad along k, elements
 * past the last k read as zero; lines past the last are never stored, so their loads only have to stay in bounds.
 */
function operand(name: "a" | "b", alongK: boolean, scalar: boolean): GemmOperand {
  const lines = name === "a" ? "params.m" : "params.n";
  const columns = isColumns(name, alongK);
  const type = columns ? "StoredColumns" : "Stored4";
  const group = columns ? "WIDTH" : "4u"; // elements per load
  const stride = scalar ? `params.${name}_row` : `params.${name}_row / ${group}`;
  const unit = scalar ? 4 : 1; // buffer elements per load
  return {
    along: alongK ? "k" : "lines",
    setup: (s, line) =>
      alongK
        ? `let ${s}_at = ${name}_base + min(${line}, ${lines} - 1u) * (${stride});`
        : `let ${s}_at = ${name}_base + ${unit}u * min(${line}, (${lines} - 1u) / ${group});`,
    turn: () => "",
    load: (s, k, inside) => {
      if (!alongK) return masked(type, `read_${name}(${s}_at + (${k}) * (${stride}))`, inside);
      const end = inside ? `select(0u, params.k, ${inside})` : "params.k";
      const value = `read_${name}(${s}_at + ${unit}u * (${k}))`;
      return `select(Stored4(), ${value}, 4u * (${k}) + vec4u(0, 1, 2, 3) < vec4u(${end}))`;
    },
  };
}

const STORE_VECTORS = `
fn store(place: u32, row: u32, column: u32, value: Columns) {
  if (row >= params.m || column >= params.columns) { return; }
  let first = params.c_first + place / params.heads * params.c_batch + place % params.heads * params.c_head;
  let at = (first + row * params.c_row) / WIDTH + column;
  let result = finish(place, row, column, at, value);
  c[at] = StoredColumns(select(Columns(), result, WIDTH * column + FIRST_COLUMNS < ColumnNumbers(params.n)));
}`;

const STORE_FLOATS = `
fn store(place: u32, row: u32, column: u32, value: vec4f) {
  if (row >= params.m) { return; }
  let head = place % params.heads;
  let at = params.c_first + place / params.heads * params.c_batch + head * params.c_head + row * params.c_row;
  for (var i = 0u; i < 4u; i++) {
    let j = 4u * column + i;
    if (j < params.n) {
      c[at + j] = Stored(finish(place, row, j, at + j, value[i]));
    } else if (j < params.padded_n && (params.sliced == 0u || head == params.heads - 1u)) {
      c[at + j] = Stored();
    }
  }
}`;

/** Product of a variant. */
export function matmulProblem({ transposedA, transposedB, scalar, epilogue }: MatmulVariant): GemmProblem {
  const result = scalar ? "f32" : "Columns";
  const typeOf = (columns: boolean) => columns ? "StoredColumns" : "Stored4";
  const columnsOfB = isColumns("b", transposedB);
  // Single elements after the last line or k are not used, but could be past the end of the tensor.
  const elements = (name: string) =>
    [1, 2, 3].map((i) => `${name}[min(at + ${i}u, arrayLength(&${name}) - 1u)]`).join(", ");
  const read = (name: string, type: string) =>
    scalar
      ? `fn read_${name}(at: u32) -> Stored4 { return Stored4(${name}[at], ${elements(name)}); }`
      : `fn read_${name}(at: u32) -> ${type} { return ${name}[at]; }`;
  const base = (name: string, columns: boolean) =>
    `let ${name}_base = (params.${name}_first + place / params.heads * params.${name}_batch + ` +
    `place % params.heads * params.${name}_head)` +
    `${scalar ? "" : columns ? " / WIDTH" : " / 4u"};`;
  return {
    name: `matmul_${transposedA ? "t" : "n"}${transposedB ? "t" : "n"}${
      scalar ? "_scalar" : ""
    }${epilogue.name}`,
    declarations: `
struct Params {
  heads: u32, m: u32, n: u32, k: u32,
  columns: u32,   // groups of written columns, padding included
  padded_n: u32,  // written columns, padding included
  sliced: u32,    // 1: heads are slices of one row
  has_addend: u32,
  alpha: f32,
  a_first: u32, a_row: u32, a_batch: u32, a_head: u32,
  b_first: u32, b_row: u32, b_batch: u32, b_head: u32,
  c_first: u32, c_row: u32, c_batch: u32, c_head: u32,${epilogue.params ?? ""}
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<${scalar ? "Stored" : "Stored4"}>;
@group(0) @binding(2) var<storage, read> b: array<${scalar ? "Stored" : typeOf(columnsOfB)}>;
${epilogue.bindings(scalar ? "Stored" : "StoredColumns")}
@group(0) @binding(4) var<storage, read_write> c: array<${scalar ? "Stored" : "StoredColumns"}>;

${read("a", "Stored4")}
${read("b", typeOf(columnsOfB))}
fn finish(place: u32, row: u32, column: u32, at: u32, value: ${result}) -> ${result} {${
      epilogue.finish(result)
    }
}
${scalar ? STORE_FLOATS : STORE_VECTORS}`,
    prologue: `${base("a", false)}\n  ${base("b", columnsOfB)}`,
    turn: "",
    wideOnly: scalar,
    oneLayout: transposedB, // in scores of attention and their gradients
    rows: "params.m",
    depth: "(params.k + 3u) / 4u",
    terms: "params.k",
    a: operand("a", !transposedA, scalar),
    b: operand("b", transposedB, scalar),
  };
}
