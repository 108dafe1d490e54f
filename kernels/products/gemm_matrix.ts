/**
 * Matrix product generator for matrix units: a workgroup of several subgroups stages a slice along k of its rows of A and
 * columns of B in workgroup memory as float16, and each subgroup keeps a block of the tile as matrices of float32.
 *
 * Staging: an operand is stored as it is loaded, along `k` as [line][k] and along `lines` as [k][line], and the units read
 * either order, so nothing is transposed. Lines of a stage are padded by 16 bytes: a unit reads eight lines of 16 bytes at
 * once, which then hit different banks. Every matrix lies inside its stage. Past the last k of an iteration the stages hold
 * zeros for one operand, and repeat the last k of the other; lines past the last repeat it, and are not stored.
 *
 * With double buffering (`double`), an iteration issues its loads, multiplies the previous stage, and needs one barrier (see
 * gemm_tile.ts). With one stage, workgroup memory and registers suffice for more workgroups, which hide the latency.
 *
 * Epilogue: single elements of a matrix cannot be accessed, so each subgroup stores a few matrices at a time to workgroup
 * memory, from which all threads pass vectors of columns on to the problem's `store`.
 *
 * Accumulation is float32, products of float16 being exact: matrices of `depth` k at a time in the order of k, whatever the
 * tile, so that all layouts give the same bits with the same matrix size; only column sums may differ.
 *
 * @module
 */
import {
  matricesOf,
  type MatrixLayout,
  matrixThreads,
  resultLine,
  resultSize,
  stageLine,
  stageSize,
  storedMatrices,
} from "./gemm_matrix_tile.ts";
import { columnTypes, type GemmOperand, type GemmProblem } from "./gemm_problem.ts";
import { loopOverSteps, type StageLoads, stageLoads, sumOverThreads } from "./gemm_workgroup.ts";
import { type MatrixDialect, matrixDialect } from "./matrix_dialect.ts";
import { range } from "../range.ts";

/** Staging of an operand in workgroup memory. */
interface Staging extends StageLoads {
  /** Writes to the stage at `put_<name>`: WGSL statements. */
  readonly put: string;
}

/** Staging of an operand. */
function staging(name: "a" | "b", problem: GemmProblem, layout: MatrixLayout): Staging {
  const operand = problem[name];
  const { depth } = layout;
  const lines = name === "a" ? layout.rows : layout.columns;
  const threads = matrixThreads(layout);
  const loads = stageLoads(name, problem, { lines, depth, threads }, {
    ...{ type: "Stored4", declared: true, past: "multiplied" },
  });
  // Vectors are stored as they are loaded: `length` elements a line.
  const length = operand.along === "k" ? depth : lines;
  const quads = length / 4;
  const put = loads.loaded.map((value, j) =>
    `stage_${name}[put_${name} + (thread / ${quads}u + ${j * threads / quads}u) * ${stageLine(length)}u + ` +
    `thread % ${quads}u] = ${value};`
  ).join("\n");
  return { ...loads, put };
}

/** Order and line length of an operand in its stage. */
function staged(name: "a" | "b", { along }: GemmOperand, layout: MatrixLayout) {
  // A is stored by rows along k, B by columns.
  const byRows = (name === "a") === (along === "k");
  const lines = name === "a" ? layout.rows : layout.columns;
  return {
    array: `stage_${name}`,
    order: byRows ? "row_major" : "col_major",
    stride: stageLine(along === "k" ? layout.depth : lines),
  } as const;
}

/** Offset in a stage after `lines` lines and `k` elements along k; both multiples of 4. */
function offsetIn({ along }: GemmOperand, stride: number, lines: number, k: number): number {
  return along === "k" ? lines * stride + k / 4 : k * stride + lines / 4;
}

/** Multiplies the stage with the index `stage`. */
function multiply(problem: GemmProblem, layout: MatrixLayout, dialect: MatrixDialect, stage: string): string {
  const { rows, columns, depth, shape } = layout;
  const [blockRows, blockColumns] = matricesOf(layout);
  const { a, b } = problem;
  const [strideA, strideB] = [staged("a", a, layout).stride, staged("b", b, layout).stride];
  const { declare, load, matrix, multiplyAccumulate, repeat } = dialect;
  const offsetA = (r: string, k: string) =>
    `from_a + ${r} * ${offsetIn(a, strideA, shape.rows, 0)}u + ${k} * ${
      offsetIn(a, strideA, 0, shape.depth)
    }u`;
  const offsetB = (c: string, k: string) =>
    `from_b + ${c} * ${offsetIn(b, strideB, shape.columns, 0)}u + ${k} * ${
      offsetIn(b, strideB, 0, shape.depth)
    }u`;
  const row = (r: string, k: string) => `
      ${load("left", matrix("left"), offsetA(r, k))}
      ${
    repeat("c", blockColumns, (c) =>
      multiplyAccumulate(matrix("sums", r, c), matrix("left"), matrix("right", c)))
  }`;
  return `{
    let from_a = ${stage} * ${stageSize(a, rows, depth)}u + block_a;
    let from_b = ${stage} * ${stageSize(b, columns, depth)}u + block_b;
    ${declare("left", "left")}
    ${declare("right", "right", blockColumns)}
    ${
    repeat("i", depth / shape.depth, (k) => `
    ${repeat("c", blockColumns, (c) => load("right", matrix("right", c), offsetB(c, k)))}
    ${repeat("r", blockRows, (r) => row(r, k))}`)
  }
  }`;
}

/** Passes all results on to the problem's `store`. */
function epilogue({ targetRows }: GemmProblem, layout: MatrixLayout, dialect: MatrixDialect): string {
  const { shape, units: { subgroupSize } } = layout;
  const [blockRows, blockColumns] = matricesOf(layout);
  const matrices = storedMatrices(layout);
  const line = resultLine(layout, matrices);
  const quads = matrices * shape.columns / 4;
  const count = shape.rows * quads; // vectors per subgroup
  const { after, matrix, repeat, store } = dialect;
  const round = (r: string, c: string) =>
    `{
  ${
      range(matrices).map((m) =>
        store(
          matrix("sums", r, after(c, m)),
          `subgroup * ${shape.rows * line}u + ${m * shape.columns / 4}u`,
        )
      ).join("\n")
    }
  workgroupBarrier();
  for (var i = thread % ${subgroupSize}u; i < ${count}u; i += ${subgroupSize}u) {
    let at_row = i / ${quads}u;
    let at_quad = i % ${quads}u;
    let line = first_row + ${r} * ${shape.rows}u + at_row;
    store(place, ${targetRows ? "target_row(line)" : "line"}, first_quad + ${c} * ${
      shape.columns / 4
    }u + at_quad,
      results[(thread / ${subgroupSize}u * ${shape.rows}u + at_row) * ${line}u + at_quad]);
  }
  workgroupBarrier();
  }`;
  // A thread stores from the block that its index falls into, which may be of another subgroup.
  return `let first_row = row + thread / ${subgroupSize}u / ${layout.subgroups[1]}u * ${
    blockRows * shape.rows
  }u;
  let first_quad = column / 4u + thread / ${subgroupSize}u % ${layout.subgroups[1]}u * ${
    blockColumns * shape.columns / 4
  }u;
  ${repeat("r", blockRows, (r) => repeat("c", blockColumns, (c) => round(r, c), matrices))}`;
}

/** Adds the threads' partial column sums in a fixed order, and stores them. */
function combineSums(layout: MatrixLayout): string {
  const quads = layout.columns / 4;
  const terms = sumOverThreads("results", matrixThreads(layout), layout.columns);
  return `
  if (group.x == 0u) {
    results[thread] = column_sums;
    workgroupBarrier();
    if (thread < ${quads}u) { store_sums(place, column / 4u + thread, ${terms}); }
  }`;
}

/** WGSL of a product on matrix units. */
export function gemmMatrix(problem: GemmProblem, layout: MatrixLayout): string {
  const { rows, columns, depth, double, subgroups, shape, units } = layout;
  const a = staging("a", problem, layout);
  const b = staging("b", problem, layout);
  const [stagedA, stagedB] = [staged("a", problem.a, layout), staged("b", problem.b, layout)];
  const matrices = storedMatrices(layout);
  const dialect = matrixDialect(units, shape, stagedA, stagedB, {
    array: "results",
    stride: resultLine(layout, matrices),
  });
  const [blockRows, blockColumns] = matricesOf(layout);
  const [sizeA, sizeB] = [stageSize(problem.a, rows, depth), stageSize(problem.b, columns, depth)];
  const put = `let put_a = stage * ${sizeA}u;
      let put_b = stage * ${sizeB}u;
      ${a.put}
      ${b.put}
      ${problem.columnSums ? b.loaded.map((value) => `column_sums += vec4f(${value});`).join("\n") : ""}`;
  const previous = multiply(problem, layout, dialect, "(stage ^ 1u)");
  const turn = double
    ? `if (pending) ${previous}
      ${put}
      workgroupBarrier();
      pending = true;
      stage ^= 1u;`
    : `workgroupBarrier();
      ${put}
      workgroupBarrier();
      ${multiply(problem, layout, dialect, "stage")}`;
  const steps = `for (var k = 0u; k < depth; k += ${depth / 4}u) {
      ${a.load}
      ${b.load}
      ${turn}
    }`;
  const stages = double ? 2 : 1;
  return `${dialect.enables}
${columnTypes(4, true)}
${problem.declarations}
var<workgroup> stage_a: array<Stored4, ${stages * sizeA}>;
var<workgroup> stage_b: array<Stored4, ${stages * sizeB}>;
var<workgroup> results: array<vec4f, ${resultSize(layout, matrices)}>;
${dialect.declarations}

@compute @workgroup_size(${matrixThreads(layout)}) ${dialect.attributes}
fn main(${
    [
      "@builtin(workgroup_id) group: vec3u",
      "@builtin(local_invocation_index) thread: u32",
      ...dialect.parameters,
    ]
      .join(", ")
  }) {
  let place = group.z;
  let row = group.x * ${rows}u;
  let column = group.y * ${columns}u;
  let subgroup = ${dialect.subgroup};
  let block_a = subgroup / ${subgroups[1]}u * ${
    offsetIn(problem.a, stagedA.stride, blockRows * shape.rows, 0)
  }u;
  let block_b = subgroup % ${subgroups[1]}u * ${
    offsetIn(problem.b, stagedB.stride, blockColumns * shape.columns, 0)
  }u;
  ${problem.prologue}
  ${a.setup}
  ${b.setup}
  ${dialect.declare("result", "sums", blockRows, blockColumns)}
  ${problem.columnSums ? "var column_sums = vec4f();" : ""}
  ${double ? "var" : "let"} stage = 0u;
  ${double ? "var pending = false; // a stage has not been multiplied yet" : ""}
  ${loopOverSteps(problem, rows, [a, b], steps)}
  ${double ? `if (pending) ${previous}` : ""}
  ${epilogue(problem, layout, dialect)}
  ${problem.columnSums ? combineSums(layout) : ""}
}`;
}
