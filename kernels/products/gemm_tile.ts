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
import {
  columnTypes,
  type GemmOperand,
  type GemmProblem,
  type GemmTile,
  outerLoop,
  withLoads,
} from "./gemm_problem.ts";
import { type StageAccess, stageAccess, stageBytes } from "./gemm_stage.ts";
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

/** Staging of an operand in workgroup memory; all strings are WGSL statements. */
interface Staging extends StageAccess {
  readonly setup: string;
  readonly turn: string;
  /** Loads of a stage, starting at quad `k`. */
  readonly load: string;
  /** Variables of the loaded values. */
  readonly loaded: readonly string[];
  /** Writes to stage `stage`, which may also add to `sums`. */
  readonly put: string;
}

/** Distributes the loads of an operand over the threads; `summed`: adds the values staged to `sums`. */
function staging(name: "a" | "b", operand: GemmOperand, layout: TileLayout, summed = false): Staging {
  const side = name === "a" ? 0 : 1;
  const lines = [layout.rows, layout.columns][side];
  const threads = threadsOf(layout);
  const quads = layout.depth / 4;
  const shape = {
    ...{ stages: layout.stages, lines, depth: layout.depth, threads },
    ...{ readers: lines / layout.block[side], unroll: unrolled(layout) },
  };
  const access = stageAccess(name, operand, shape, ["ty", "tx"][side]);
  const first = ["row", "column"][side];
  const vectors = lines * quads;
  const loads = range(Math.ceil(vectors / threads));
  const loaded = loads.map((j) => `${name}_v${j}`);
  const puts = loads.map((j) =>
    `${access.written("stage", j)} = ${loaded[j]};\n${summed ? `sums += ${loaded[j]};` : ""}`
  ).join("\n");
  const put = vectors < threads ? `if (thread < ${vectors}u) { ${puts} }` : puts;
  // The loop may multiply quads past the last, for which it is enough that A is zero.
  const inside = (k: string, end: string) => name === "a" && shape.unroll > 1 ? `${k} < ${end}` : undefined;
  const { second } = operand;
  const value = (load: GemmOperand["load"], slot: string, k: string, end: string) =>
    `vec4f(${load(slot, k, second ? undefined : inside(k, end))})`;
  const masked = (load: string, kOf: (j: number) => string, end: string) => {
    if (!second || inside("", end) === undefined) return load;
    const mask = (j: number) => `${loaded[j]} = select(vec4f(), ${loaded[j]}, ${inside(kOf(j), end)});`;
    return [load, ...loads.map(mask)].join("\n");
  };
  if (operand.along === "k") {
    const slots = loads.map((j) => `${name}${j}`);
    const line = (j: number) => `${first} + thread / ${quads}u + ${j * threads / quads}u`;
    const loadsOf = (load: GemmOperand["load"]) =>
      slots.map((slot, j) => `${loaded[j]} = ${value(load, slot, `${name}_k`, "depth")};`).join("\n");
    return {
      ...{ ...access, loaded, put },
      setup: slots.map((slot, j) => operand.setup(slot, line(j))).join("\n"),
      turn: slots.map((slot) => operand.turn(slot)).join("\n"),
      load: `let ${name}_k = k + thread % ${quads}u;
      ${masked(withLoads(operand, slots[0]!, loadsOf), () => `${name}_k`, "depth")}`,
    };
  }
  const width = lines / 4;
  const k = (j: number) => `${name}_k${j}`;
  const loadsOf = (load: GemmOperand["load"]) =>
    loads.map((j) => `${loaded[j]} = ${value(load, name, k(j), "4u * depth")};`).join("\n");
  return {
    ...{ ...access, loaded, put },
    setup: operand.setup(name, `${first} / 4u + thread % ${width}u`),
    turn: operand.turn(name),
    load: [
      ...loads.map((j) => `let ${k(j)} = 4u * k + thread / ${width}u + ${j * threads / width}u;`),
      masked(withLoads(operand, name, loadsOf), k, "4u * depth"),
    ].join("\n"),
  };
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
  const terms = range(threadsOf(layout) / width).map((i) => `scratch[thread + ${i * width}u]`).join(" + ");
  return `
  scratch[thread] = sums;
  workgroupBarrier();
  if (group.x == 0u && thread < ${width}u) { store_sums(place, column / 4u + thread, ${terms}); }`;
}

/** WGSL of a product with tiles staged in workgroup memory. */
export function gemmTile(problem: GemmProblem, layout: TileLayout, half: boolean): string {
  const { rows, columns, depth, stages, prefetch, width } = layout;
  const a = staging("a", problem.a, layout);
  const b = staging("b", problem.b, layout, problem.columnSums);
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
  const active = problem.a.anyActive?.("row", `row + ${rows - 1}u`);
  const body = `${problem.turn}
    ${active ? `if (!${active}) { continue; }` : ""}
    ${a.turn}
    ${b.turn}
    let depth = ${problem.depth};
    var k = 0u;
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
  ${outerLoop(problem, body)}
  ${block.rows.map(store).join("\n")}
  ${problem.columnSums ? combineSums(layout) : ""}
}`;
}
