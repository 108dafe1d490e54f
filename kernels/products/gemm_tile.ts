/**
 * Matrix product generator for GPUs: a workgroup stages a slice along k of its rows of A and columns of B in workgroup memory,
 * and each thread keeps a block of the tile in registers.
 *
 * Layout of a stage, free of bank conflicts: a warp accesses vectors in groups of eight threads (128 bytes), which costs one
 * access if they hit different banks, or the same element. Neighbouring threads differ in `tx`.
 * - An operand along `lines` is stored as [k][quad of lines]: neighbours load, write and read neighbouring quads.
 * - An operand along `k` is stored as loaded, [quad of k][line]: a thread always writes whole vectors, because in WGSL a write
 *   of one component may touch the others. Of eight threads that write, some hold other k of the same line; an XOR swizzle by
 *   `spread` moves those to other banks without the memory that padding would take: two stages of 128x128x8 fill the
 *   guaranteed 16 KiB. A thread's rows are `threadsY` apart, so that neighbours read neighbours. Its columns are consecutive
 *   (they are stored as vectors), so a quad's four lines are a quarter of the stage apart instead.
 *
 * With double buffering (`double`), an iteration issues its loads, then multiplies the previous stage, which hides the loads'
 * latency, and needs one barrier, since no thread writes where others may still read. With one stage, loaded values occupy no
 * registers during the arithmetic, and other workgroups hide the latency.
 *
 * Float16 elements become float32 when they are staged: once per element, where a conversion at each read would take an
 * instruction per 4 multiply-adds. Arithmetic in float16 would gain nothing (`fma` on half vectors has the rate of float32 on
 * an H200), and WGSL lets compilers fuse or widen it, so that layouts would differ in their bits.
 *
 * All layouts accumulate an element of C in float32 in the order of k, and give the same bits; only column sums may differ.
 *
 * @module
 */
import { columnTypes, type GemmOperand, type GemmProblem, type GemmTile, outerLoop } from "./gemm_problem.ts";
import { range } from "../range.ts";

/** Tile and thread mapping of a workgroup. All sizes are powers of two. */
export interface TileLayout extends GemmTile {
  /** Length along k of a stage. */
  readonly depth: number;
  /** Rows and columns per thread. */
  readonly block: readonly [rows: number, columns: number];
  /** Double buffering: two alternating stages. */
  readonly double: boolean;
}

/** Threads per workgroup. */
export function threadsOf({ rows, columns, block }: TileLayout): number {
  return rows * columns / (block[0] * block[1]);
}

/** Workgroup memory in bytes. */
export function workgroupBytes({ rows, columns, depth, double }: TileLayout): number {
  return (double ? 2 : 1) * (rows + columns) * depth * 4;
}

const X = "xyzw";

/** Unrolling of the innermost loop in quads of k: about 256 instructions, to amortise the exit test and guards. */
function unrolled({ depth, block }: TileLayout): number {
  return Math.max(1, Math.min(depth / 4, 64 / (block[0] * block[1])));
}

/** Staging of an operand in workgroup memory; all strings are WGSL statements. */
interface Staging {
  readonly setup: string;
  readonly turn: string;
  /** Loads of a stage, starting at quad `k`. */
  readonly load: string;
  /** Variables of the loaded values. */
  readonly loaded: readonly string[];
  /** Writes to the stage at `put_<name>`. */
  readonly put: string;
}

/** Index in a stage of A along k: quad `k` of a row; WGSL expressions. */
function placeOfRow(layout: TileLayout, row: string, k: string): string {
  return `(${k}) * ${layout.rows}u + ((${row}) ^ ((${k}) * ${spread(layout, layout.rows)}u))`;
}

/** Index in a stage of B along k: quad `k` of column `x` of a quad of columns; WGSL expressions. */
function placeOfColumn(layout: TileLayout, quad: string, x: string, k: string): string {
  const width = layout.columns / 4;
  const bank = `(${quad}) ^ (${x}) ^ ((${k}) * ${spread(layout, width)}u)`;
  return `(${k}) * ${layout.columns}u + (${x}) * ${width}u + (${bank})`;
}

/** Bank offset between quads of k written at the same time, with `lines` lines per quad of k. */
function spread({ depth }: TileLayout, lines: number): number {
  return Math.min(8, lines) / (depth / 4);
}

/** Distributes the loads of an operand over the threads. */
function staging(name: "a" | "b", operand: GemmOperand, layout: TileLayout): Staging {
  const count = name === "a" ? layout.rows : layout.columns;
  const first = name === "a" ? "row" : "column";
  const threads = threadsOf(layout);
  const quads = layout.depth / 4;
  const loads = range(count * quads / threads);
  const loaded = loads.map((j) => `${name}_v${j}`);
  const put = (at: (j: number) => string) =>
    loads.map((j) => `stage_${name}[put_${name} + ${at(j)}] = ${loaded[j]};`).join("\n");
  // An unrolled loop may multiply quads past the last, which must be zero.
  const masked = (value: string, inside: string) =>
    unrolled(layout) > 1 ? `select(vec4f(), vec4f(${value}), ${inside})` : `vec4f(${value})`;
  if (operand.along === "k") {
    const slots = loads.map((j) => `${name}${j}`);
    const line = (j: number) => `(thread / ${quads}u + ${j * threads / quads}u)`;
    const k = `thread % ${quads}u`;
    return {
      loaded,
      setup: slots.map((slot, j) => operand.setup(slot, `${first} + ${line(j)}`)).join("\n"),
      turn: slots.map((slot) => operand.turn(slot)).join("\n"),
      load: [
        `let ${name}_k = k + ${k};`,
        ...slots.map((slot, j) =>
          `let ${loaded[j]} = ${masked(operand.load(slot, `${name}_k`), `${name}_k < depth`)};`
        ),
      ].join("\n"),
      put: put((j) =>
        name === "a"
          ? placeOfRow(layout, line(j), k)
          : placeOfColumn(layout, `${line(j)} / 4u`, `${line(j)} % 4u`, k)
      ),
    };
  }
  const width = count / 4;
  const load = (j: number) => {
    const k = `${name}_k${j}`;
    return `let ${k} = 4u * k + thread / ${width}u + ${j * threads / width}u;
      let ${loaded[j]} = ${masked(operand.load(name, k), `${k} < 4u * depth`)};`;
  };
  return {
    loaded,
    setup: operand.setup(name, `${first} / 4u + thread % ${width}u`),
    turn: operand.turn(name),
    load: loads.map(load).join("\n"),
    put: put((j) => `thread + ${j * threads}u`),
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
 * Multiplies quad `i` of k of the stages at `from_a` and `from_b`. The thread's values of B stay in registers, while its rows
 * of A are read one at a time (along lines: one k at a time).
 */
function multiplyQuad({ a, b }: GemmProblem, layout: TileLayout, rows: string[], quads: string[]): string {
  const all = [0, 1, 2, 3];
  const readB = (x: number) =>
    quads.map((quad, c) =>
      b.along === "k"
        ? `let q${x}_${c} = vec4f(${all.map((j) => `t${c}_${j}.${X[x]}`).join(", ")});`
        : `let q${x}_${c} = stage_b[from_b + (4u * i + ${x}u) * ${layout.columns / 4}u + ${quad}];`
    );
  const quadsOfB = b.along === "k"
    ? quads.flatMap((quad, c) =>
      all.map((j) => `let t${c}_${j} = stage_b[from_b + ${placeOfColumn(layout, quad, `${j}u`, "i")}];`)
    )
    : [];
  const add = (r: number, element: string, x: number) =>
    quads.map((_, c) => `c${r}_${c} = fma(vec4f(${element}), q${x}_${c}, c${r}_${c});`);
  if (a.along === "k") {
    return [
      ...quadsOfB,
      ...all.flatMap(readB),
      ...rows.flatMap((row, r) => [
        `let p${r} = stage_a[from_a + ${placeOfRow(layout, row, "i")}];`,
        ...all.flatMap((x) => add(r, `p${r}.${X[x]}`, x)),
      ]),
    ].join("\n");
  }
  const threadsY = layout.rows / layout.block[0];
  const readA = (x: number) =>
    range(rows.length / 4).map((q) =>
      `let p${x}_${q} = stage_a[from_a + (4u * i + ${x}u) * ${layout.rows / 4}u + ${q * threadsY}u + ty];`
    );
  return [
    ...quadsOfB,
    ...all.flatMap((x) => [
      ...readB(x),
      ...readA(x),
      ...rows.flatMap((_, r) => add(r, `p${x}_${r >> 2}.${X[r & 3]}`, x)),
    ]),
  ].join("\n");
}

/** Multiplies the first `quads` quads of k of stage `stage`. */
function multiply(quads: string, stage: string, body: string, layout: TileLayout): string {
  const { rows, columns, depth } = layout;
  const unroll = unrolled(layout);
  return `{
    let from_a = ${stage} * ${rows * depth / 4}u;
    let from_b = ${stage} * ${columns * depth / 4}u;
    for (var quad = 0u; quad < ${quads}; quad += ${unroll}u) {
      ${range(unroll).map((u) => `{ let i = quad + ${u}u;\n${body} }`).join("\n")}
    }
  }`;
}

/** Adds the threads' partial column sums in a fixed order, and stores them in the first row of tiles. */
function combineSums(layout: TileLayout): string {
  const width = layout.columns / 4;
  const terms = range(threadsOf(layout) / width).map((i) => `stage_b[thread + ${i * width}u]`).join(" + ");
  return `
  workgroupBarrier();
  stage_b[thread] = sums;
  workgroupBarrier();
  if (group.x == 0u && thread < ${width}u) { store_sums(place, column / 4u + thread, ${terms}); }`;
}

/** WGSL of a product with tiles staged in workgroup memory. */
export function gemmTile(problem: GemmProblem, layout: TileLayout, half: boolean): string {
  const { rows, columns, depth, double, width } = layout;
  const a = staging("a", problem.a, layout);
  const b = staging("b", problem.b, layout);
  const block = blockOf(layout, problem.a);
  const sums = block.rows.flatMap((_, r) => block.quads.map((_, c) => `c${r}_${c}`));
  const product = multiplyQuad(problem, layout, block.rows, block.quads);
  const put = `let put_a = stage * ${rows * depth / 4}u;
      let put_b = stage * ${columns * depth / 4}u;
      ${a.put}
      ${b.put}
      ${problem.columnSums ? b.loaded.map((value) => `sums += ${value};`).join("\n") : ""}`;
  const staged = `min(${depth / 4}u, depth - k)`;
  const other = "(stage ^ 1u)";
  const turn = double
    ? `${multiply("pending", other, product, layout)}
      ${put}
      workgroupBarrier();
      pending = ${staged};
      stage ^= 1u;`
    : `workgroupBarrier();
      ${put}
      workgroupBarrier();
      ${multiply(staged, "stage", product, layout)}`;
  const active = problem.a.anyActive?.("row", `row + ${rows - 1}u`);
  const body = `${problem.turn}
    ${active ? `if (!${active}) { continue; }` : ""}
    ${a.turn}
    ${b.turn}
    let depth = ${problem.depth};
    for (var k = 0u; k < depth; k += ${depth / 4}u) {
      ${a.load}
      ${b.load}
      ${turn}
    }`;
  const stages = double ? 2 : 1;
  const threadsX = columns / layout.block[1];
  const store = (row: string, r: number) => {
    const line = problem.targetRows ? `target_row(row + ${row})` : `row + ${row}`;
    const quads = block.quads.map((quad, c) => `store(place, line, column / 4u + ${quad}, c${r}_${c});`);
    return `{ let line = ${line};\n${quads.join("\n")} }`;
  };
  return `${columnTypes(width, half)}
${problem.declarations}
var<workgroup> stage_a: array<vec4f, ${stages * rows * depth / 4}>;
var<workgroup> stage_b: array<vec4f, ${stages * columns * depth / 4}>;

@compute @workgroup_size(${threadsOf(layout)})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let place = group.z;
  let row = group.x * ${rows}u;
  let column = group.y * ${columns}u;
  let tx = thread % ${threadsX}u;
  let ty = thread / ${threadsX}u;
  ${problem.prologue}
  ${a.setup}
  ${b.setup}
  ${sums.map((sum) => `var ${sum} = vec4f();`).join("\n")}
  ${problem.columnSums ? "var sums = vec4f();" : ""}
  ${double ? "var" : "let"} stage = 0u;
  ${double ? "var pending = 0u; // quads of k staged and not yet multiplied" : ""}
  ${outerLoop(problem, body)}
  ${double ? multiply("pending", other, product, layout) : ""}
  ${block.rows.map(store).join("\n")}
  ${problem.columnSums ? combineSums(layout) : ""}
}`;
}
