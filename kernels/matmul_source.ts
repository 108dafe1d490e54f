/**
 * Batched matrix products over strided layouts as {@linkcode GemmProblem}s: C[i,j] = alpha * sum over k of A[i,k] B[k,j]
 * (+ addend[i,j]) for each (sample, head), which are the places of the grid. Float32 throughout, written with `=`.
 *
 * The vector variant reads and writes quads, so every stride and offset is a multiple of 4; the scalar one reads and writes
 * single floats, for head sizes that are not.
 *
 * @module
 */
import type { GemmOperand, GemmProblem } from "./gemm_problem.ts";

/** Which kernel a product needs. */
export interface MatmulVariant {
  transposedA: boolean;
  transposedB: boolean;
  scalar: boolean;
}

/**
 * An operand `name` whose lines (rows of A, columns of B) are `name_line` apart and whose k are `name_k` apart, one of them 1.
 * Elements beyond the last k are zero; lines beyond the last are never stored, so they only have to stay in bounds.
 */
function operand(name: "a" | "b", alongK: boolean, scalar: boolean): GemmOperand {
  const lines = name === "a" ? "params.m" : "params.n";
  const stride = scalar ? `params.${name}_row` : `params.${name}_row / 4u`;
  const unit = scalar ? 4 : 1; // buffer elements of a quad
  return {
    along: alongK ? "k" : "lines",
    setup: (s, line) =>
      alongK
        ? `let ${s}_at = ${name}_base + min(${line}, ${lines} - 1u) * (${stride});`
        : `let ${s}_at = ${name}_base + ${unit}u * min(${line}, (${lines} - 1u) / 4u);`,
    turn: () => "",
    load: (s, k) =>
      alongK
        ? `select(vec4f(), read_${name}(${s}_at + ${unit}u * (${k})), 4u * (${k}) + vec4u(0, 1, 2, 3) < vec4u(params.k))`
        : `select(vec4f(), read_${name}(${s}_at + min(${k}, params.k - 1u) * (${stride})), (${k}) < params.k)`,
  };
}

const STORE_QUADS = `
fn store(place: u32, row: u32, column: u32, value: vec4f) {
  if (row >= params.m || column >= params.columns4) { return; }
  let at = (place / params.heads * params.c_batch + place % params.heads * params.c_head + row * params.c_row) / 4u + column;
  var sum = params.alpha * value;
  if (params.has_addend != 0u) { sum += addend[at]; }
  c[at] = select(vec4f(), sum, 4u * column + vec4u(0, 1, 2, 3) < vec4u(params.n));
}`;

const STORE_FLOATS = `
fn store(place: u32, row: u32, column: u32, value: vec4f) {
  if (row >= params.m) { return; }
  let head = place % params.heads;
  let at = place / params.heads * params.c_batch + head * params.c_head + row * params.c_row;
  for (var i = 0u; i < 4u; i++) {
    let j = 4u * column + i;
    if (j < params.n) {
      var sum = params.alpha * value[i];
      if (params.has_addend != 0u) { sum += addend[at + j]; }
      c[at + j] = sum;
    } else if (j < params.padded_n && (params.sliced == 0u || head == params.heads - 1u)) {
      c[at + j] = 0.0;
    }
  }
}`;

/** The product of one variant. */
export function matmulProblem({ transposedA, transposedB, scalar }: MatmulVariant): GemmProblem {
  const type = scalar ? "f32" : "vec4f";
  const read = (name: string) =>
    scalar
      ? `fn read_${name}(at: u32) -> vec4f { return vec4f(${name}[at], ${name}[at + 1u], ${name}[at + 2u], ${name}[at + 3u]); }`
      : `fn read_${name}(at: u32) -> vec4f { return ${name}[at]; }`;
  const base = (name: string) =>
    `let ${name}_base = (place / params.heads * params.${name}_batch + place % params.heads * params.${name}_head)` +
    `${scalar ? "" : " / 4u"};`;
  return {
    name: `matmul_${transposedA ? "t" : "n"}${transposedB ? "t" : "n"}${scalar ? "_scalar" : ""}`,
    declarations: `
struct Params {
  heads: u32, m: u32, n: u32, k: u32,
  columns4: u32,  // quads of columns that are written, padding included
  padded_n: u32,  // columns that are written, padding included
  sliced: u32,    // 1: heads are slices of the same rows
  has_addend: u32,
  alpha: f32,
  a_row: u32, a_batch: u32, a_head: u32,
  b_row: u32, b_batch: u32, b_head: u32,
  c_row: u32, c_batch: u32, c_head: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<${type}>;
@group(0) @binding(2) var<storage, read> b: array<${type}>;
@group(0) @binding(3) var<storage, read> addend: array<${type}>;
@group(0) @binding(4) var<storage, read_write> c: array<${type}>;

${read("a")}
${read("b")}
${scalar ? STORE_FLOATS : STORE_QUADS}`,
    prologue: `${base("a")}\n  ${base("b")}`,
    turn: "",
    rows: "params.m",
    depth: "(params.k + 3u) / 4u",
    a: operand("a", !transposedA, scalar),
    b: operand("b", transposedB, scalar),
  };
}
