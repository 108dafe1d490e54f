/**
 * Matrix product generator for GPUs: a workgroup stages a slice along k of its rows of A and columns of B in workgroup memory
 * (gemm_stage.ts), and each thread keeps a block of the tile in registers.
 *
 * Port of the workgroup memory: a multiprocessor of an H200 issues 4 multiply-adds of 32 threads per cycle, and moves 128
 * bytes between registers and workgroup memory or L1. A read of a `vec4f` by 32 threads takes four cycles, but two if threads
 * n and n ^ 1, or n and n ^ 2, read the same (also on older NVIDIA GPUs). Hence the order of threads in a tile: bit 0 of their
 * number changes the column, bit 1 the row, so that reads of both operands take two. With 8x8 a thread these reads occupy half
 * of the cycles at full rate, with 16x8 three eighths, with 4x4 all of them; each vector staged takes four more to load and
 * four to write: at 64x64 a quarter of the cycles.
 *
 * Instructions: the loop that multiplies is unrolled to 512 multiply-adds, which amortise its tests and fit the smallest
 * instruction cache (768 instructions).
 *
 * With `prefetch`, an iteration issues the loads of the next stage before it multiplies, which hides their latency where there
 * are no other workgroups to do so; without it, loaded values occupy no registers during the arithmetic. With two stages an
 * iteration needs one barrier, since no thread writes where others may still read.
 *
 * Float16 elements become float32 when they are staged: once per element, where a conversion at each read would take an
 * instruction per 4 multiply-adds. Arithmetic in float16 would gain nothing (`fma` on half vectors has the rate of float32 on
 * an H200), and WGSL lets compilers fuse or widen it, so that layouts would differ in their bits.
 *
 * All layouts accumulate an element of C in float32 in the order of k, and give the same bits; only column sums may differ.
 *
 * @module
 */
import { columnTypes, type GemmOperand, type GemmProblem, type GemmTile } from "./gemm_problem.ts";
import { type StageAccess, stageAccess, stageBytes } from "./gemm_stage.ts";
import { loopOverSteps, type StageLoads, stageLoads, sumOverThreads } from "./gemm_workgroup.ts";
import { range } from "../range.ts";

/** Tile and thread mapping of a workgroup. All sizes are powers of two. */
export interface TileLayout extends GemmTile {
  /** Length along k of a stage. */
  readonly depth: number;
  /** Rows and columns per thread. */
  readonly block: readonly [rows: number, columns: number];
  /** Load the next stage while multiplying one. */
  readonly prefetch: boolean;
  /** Stages in workgroup memory; two alternate, with `prefetch` only. */
  readonly stages: 1 | 2;
}

/** Threads per workgroup. */
export function threadsOf({ rows, columns, block }: TileLayout): number {
  return rows * columns / (block[0] * block[1]);
}

/** Properties of a problem that determine the workgroup memory it takes. */
export type Staged =
  & Pick<GemmProblem, "columnSums">
  & Readonly<Record<"a" | "b", Pick<GemmOperand, "along">>>;

/** Workgroup memory in bytes. */
export function workgroupBytes({ a, b, columnSums }: Staged, layout: TileLayout): number {
  const { rows, columns, depth, stages } = layout;
  return stageBytes("a", a, { stages, depth, lines: rows }) +
    stageBytes("b", b, { stages, depth, lines: columns }) + (columnSums ? 16 * threadsOf(layout) : 0);
}

const X = "xyzw";

/** Multiply-adds of a thread per iteration of the loop that multiplies. */
const UNROLLED = 512;

/** Quads of k per iteration of that loop. */
function unrolled({ depth, block }: TileLayout): number {
  return Math.max(1, Math.min(depth / 4, UNROLLED / (4 * block[0] * block[1])));
}

/** Staging of an operand in workgroup memory. */
interface Staging extends StageAccess, StageLoads {
  /** Writes to stage `stage`, which may also add to `sums`: WGSL statements. */
  readonly put: string;
}

/** Staging of an operand. Values of B are added to `sums`, if the problem sums columns. */
function staging(name: "a" | "b", problem: GemmProblem, layout: TileLayout): Staging {
  const operand = problem[name];
  const summed = name === "b" && problem.columnSums;
  const { rows, columns, depth, stages } = layout;
  const side = name === "a" ? 0 : 1;
  const lines = [rows, columns][side];
  const shape = {
    ...{ stages, lines, depth, threads: threadsOf(layout) },
    ...{ readers: lines / layout.block[side], unroll: unrolled(layout) },
  };
  const access = stageAccess(name, operand, shape, ["ty", "tx"][side]);
  const loads = stageLoads(name, problem, shape, {
    ...{ type: "vec4f", declared: false, past: shape.unroll > 1 ? "multiplied" : "loaded" },
  });
  const puts = loads.loaded.map((value, j) =>
    `${access.written("stage", j)} = ${value};\n${summed ? `sums += ${value};` : ""}`
  ).join("\n");
  const vectors = lines * depth / 4;
  const put = vectors < shape.threads ? `if (thread < ${vectors}u) { ${puts} }` : puts;
  return { ...access, ...loads, put };
}

/** Block of a thread: WGSL expressions of its rows and its quads of columns in the tile. */
function blockOf(layout: TileLayout, a: GemmOperand) {
  const [rows, columns] = layout.block;
  const threadsX = layout.columns / columns;
  const threadsY = layout.rows / rows;
  return {
    rows: range(rows).map((r) =>
      a.along === "k" ? `${r * threadsY}u + ty` : `4u * (${(r >> 2) * threadsY}u + ty) + ${r & 3}u`
    ),
    quads: range(columns / 4).map((c) => `${c * threadsX}u + tx`),
  };
}

/**
 * Multiplies quad `quad` of an iteration. The thread's values of B stay in registers, while its rows of A are read one at a
 * time (along lines: one k at a time).
 */
function multiplyQuad(
  problem: GemmProblem,
  layout: TileLayout,
  a: Staging,
  b: Staging,
  quad: number,
): string {
  const rows = range(layout.block[0]);
  const quads = range(layout.block[1] / 4);
  const ks = [0, 1, 2, 3];
  const alongK = problem.b.along === "k";
  const readB = (x: number) =>
    quads.map((c) =>
      alongK
        ? `let q${x}_${c} = vec4f(${ks.map((j) => `t${c}_${j}.${X[x]}`).join(", ")});`
        : `let q${x}_${c} = ${b.read("stage", "i", quad, c, x)};`
    );
  const quadsOfB = alongK
    ? quads.flatMap((c) => ks.map((j) => `let t${c}_${j} = ${b.read("stage", "i", quad, c, j)};`))
    : [];
  const add = (r: number, element: string, x: number) =>
    quads.map((c) => `c${r}_${c} = fma(vec4f(${element}), q${x}_${c}, c${r}_${c});`);
  if (problem.a.along === "k") {
    return [
      ...quadsOfB,
      ...ks.flatMap(readB),
      ...rows.flatMap((r) => [
        `let p${r} = ${a.read("stage", "i", quad, r, 0)};`,
        ...ks.flatMap((x) => add(r, `p${r}.${X[x]}`, x)),
      ]),
    ].join("\n");
  }
  const readA = (x: number) =>
    range(rows.length / 4).map((q) => `let p${x}_${q} = ${a.read("stage", "i", quad, q, x)};`);
  return [
    ...quadsOfB,
    ...ks.flatMap((
      x,
    ) => [...readB(x), ...readA(x), ...rows.flatMap((r) => add(r, `p${x}_${r >> 2}.${X[r & 3]}`, x))]),
  ].join("\n");
}

/** Multiplies the first `staged` quads of k, at least one, of stage `stage`. */
function multiply(problem: GemmProblem, layout: TileLayout, a: Staging, b: Staging): string {
  const unroll = unrolled(layout);
  const body = range(unroll).map((u) => `{ ${multiplyQuad(problem, layout, a, b, u)} }`).join("\n");
  if (unroll === layout.depth / 4) return body;
  return `for (var i = 0u; i * ${unroll}u < staged; i++) { ${body} }`;
}

/** Adds the threads' partial column sums in a fixed order, and stores them in the first row of tiles. */
function combineSums(layout: TileLayout): string {
  const width = layout.columns / 4;
  const terms = sumOverThreads("scratch", threadsOf(layout), layout.columns);
  return `
  scratch[thread] = sums;
  workgroupBarrier();
  if (group.x == 0u && thread < ${width}u) { store_sums(place, column / 4u + thread, ${terms}); }`;
}

/** WGSL of a product with tiles staged in workgroup memory. */
export function gemmTile(problem: GemmProblem, layout: TileLayout, half: boolean): string {
  const { rows, columns, depth, stages, prefetch, width } = layout;
  const a = staging("a", problem, layout);
  const b = staging("b", problem, layout);
  const block = blockOf(layout, problem.a);
  const sums = block.rows.flatMap((_, r) => block.quads.map((_, c) => `c${r}_${c}`));
  const loaded = [...a.loaded, ...b.loaded];
  const load = `{
      ${a.load}
      ${b.load}
    }`;
  const put = `${a.put}
      ${b.put}`;
  const product = multiply(problem, layout, a, b);
  const turn = prefetch
    ? `${load}
    loop {
      ${put}
      workgroupBarrier();
      let staged = min(${depth / 4}u, depth - k);
      k += ${depth / 4}u;
      if (k < depth) ${load}
      ${product}
      ${stages === 2 ? "stage ^= 1u;" : "workgroupBarrier();"}
      if (k >= depth) { break; }
    }`
    : `loop {
      ${load}
      workgroupBarrier();
      ${put}
      workgroupBarrier();
      let staged = min(${depth / 4}u, depth - k);
      ${product}
      k += ${depth / 4}u;
      if (k >= depth) { break; }
    }`;
  const steps = `var k = 0u;
    ${turn}`;
  const threadsX = columns / layout.block[1];
  const store = (row: string, r: number) => {
    const line = problem.targetRows ? `target_row(row + ${row})` : `row + ${row}`;
    const quads = block.quads.map((quad, c) => `store(place, line, column / 4u + ${quad}, c${r}_${c});`);
    return `{ let line = ${line};\n${quads.join("\n")} }`;
  };
  return `${columnTypes(width, half)}
${problem.declarations}
${a.declarations}
${b.declarations}
${problem.columnSums ? `var<workgroup> scratch: array<vec4f, ${threadsOf(layout)}>;` : ""}

@compute @workgroup_size(${threadsOf(layout)})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let place = group.z;
  let row = group.x * ${rows}u;
  let column = group.y * ${columns}u;
  let tx = (thread & 1u) | ((thread >> 1u) & ${threadsX - 2}u);
  let ty = ((thread >> 1u) & 1u) | ((thread / ${2 * threadsX}u) << 1u);
  ${problem.prologue}
  ${a.setup}
  ${b.setup}
  ${sums.map((sum) => `var ${sum} = vec4f();`).join("\n")}
  ${problem.columnSums ? "var sums = vec4f();" : ""}
  ${stages === 2 ? "var stage = 0u;" : ""}
  ${loaded.map((value) => `var ${value}: vec4f;`).join("\n")}
  ${loopOverSteps(problem, rows, [a, b], steps)}
  ${block.rows.map(store).join("\n")}
  ${problem.columnSums ? combineSums(layout) : ""}
}`;
}
