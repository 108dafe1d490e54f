/**
 * The layout for GPUs: a workgroup of 64 threads stages some k of its rows of A and columns of B in workgroup memory at a
 * time, and each thread keeps a block of the tile in registers.
 *
 * Both stages lie in memory as [k][line], so that a thread reads its rows and columns as `vec4f`; a thread's rows (columns) are
 * quads half a tile apart, which keeps neighbouring threads in neighbouring banks.
 *
 * @module
 */
import { columnTypes, type GemmOperand, type GemmProblem, type GemmTile, outerLoop } from "./gemm_problem.ts";

const THREADS = 64;
const SIDE = 8; // threads along rows and along columns
const X = "xyzw";
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/**
 * How the threads share the loads of one operand, and put them into `stage_<name>`.
 *
 * Elements that follow each other along k are turned round in registers, four lines a thread: a thread that wrote its
 * single elements would share a `vec4f` with three others, and WGSL lets a write of one component touch the whole vector
 * (Metal and Direct3D do so).
 */
function stage(name: string, operand: GemmOperand, lines: number, depth: number, first: string) {
  const width = lines / 4;
  if (operand.along === "k") {
    const deep = depth / 4;
    const slots = range(4).map((j) => `${name}${j}`);
    const load = (slot: string) =>
      `let ${slot}_v = select(vec4f(), ${operand.load(slot, `${name}_k`)}, ${name}_k < depth);`;
    const put = (x: number) =>
      `stage_${name}[(thread % ${deep}u * 4u + ${x}u) * ${width}u + thread / ${deep}u] = ` +
      `vec4f(${slots.map((slot) => `${slot}_v.${X[x]}`).join(", ")});`;
    return {
      setup: slots.map((slot, j) => operand.setup(slot, `${first} + 4u * (thread / ${deep}u) + ${j}u`)).join(
        "\n",
      ),
      turn: slots.map((slot) => operand.turn(slot)).join("\n"),
      load: [`let ${name}_k = k + thread % ${deep}u;`, ...slots.map(load)].join("\n"),
      put: range(4).map(put).join("\n"),
      sums: "",
    };
  }
  const loads = range(lines * depth / 4 / THREADS);
  const load = (j: number) => {
    const k = `${name}_k${j}`;
    return `let ${k} = 4u * k + thread / ${width}u + ${j * THREADS / width}u;
      let ${name}_v${j} = select(vec4f(), ${operand.load(name, k)}, ${k} < 4u * depth);`;
  };
  return {
    setup: operand.setup(name, `${first} / 4u + thread % ${width}u`),
    turn: operand.turn(name),
    load: loads.map(load).join("\n"),
    put: loads.map((j) => `stage_${name}[thread + ${j * THREADS}u] = ${name}_v${j};`).join("\n"),
    sums: loads.map((j) => `sums += ${name}_v${j};`).join("\n"),
  };
}

/** Adds the threads' partial column sums in a fixed order and stores them from the first row of tiles. */
function combineSums(width: number): string {
  const terms = range(THREADS / width).map((i) => `stage_b[thread + ${i * width}u]`).join(" + ");
  return `
  workgroupBarrier();
  stage_b[thread] = sums;
  workgroupBarrier();
  if (group.x == 0u && thread < ${width}u) { store_sums(place, column / 4u + thread, ${terms}); }`;
}

/** WGSL of a product with tiles in workgroup memory. */
export function gemmTile(problem: GemmProblem, tile: GemmTile): string {
  // k staged at a time: as much as gives each thread four lines of one quad where an operand lies along k, else little,
  // since the k of a turn may be few.
  const alongK = problem.a.along === "k" || problem.b.along === "k";
  const depth = tile.rows > 32 ? 16 : alongK ? 32 : 8;
  const a = stage("a", problem.a, tile.rows, depth, "row");
  const b = stage("b", problem.b, tile.columns, depth, "column");
  const [rowQuads, columnQuads] = [tile.rows / 4 / SIDE, tile.columns / 4 / SIDE];
  const accumulators = range(rowQuads * 4).flatMap((r) => range(columnQuads).map((c) => ({ r, c })));
  const multiply = range(4).map((x) =>
    [
      "{",
      ...range(rowQuads).map((q) =>
        `let p${q} = stage_a[(i + ${x}u) * ${tile.rows / 4}u + ${q * SIDE}u + ty];`
      ),
      ...range(columnQuads).map((c) =>
        `let q${c} = stage_b[(i + ${x}u) * ${tile.columns / 4}u + ${c * SIDE}u + tx];`
      ),
      ...accumulators.map(({ r, c }) =>
        `c${r}_${c} = fma(vec4f(p${r >> 2}.${X[r & 3]}), q${c}, c${r}_${c});`
      ),
      "}",
    ].join("\n")
  ).join("\n");
  const body = `${problem.turn}
    ${a.turn}
    ${b.turn}
    let depth = ${problem.depth};
    for (var k = 0u; k < depth; k += ${depth / 4}u) {
      ${a.load}
      ${b.load}
      workgroupBarrier();
      ${a.put}
      ${b.put}
      ${problem.columnSums ? b.sums : ""}
      workgroupBarrier();
      for (var i = 0u; i < ${depth}u; i += 4u) {
        ${multiply}
      }
    }`;
  return `${columnTypes(tile.width)}
${problem.declarations}
var<workgroup> stage_a: array<vec4f, ${tile.rows / 4 * depth}>;
var<workgroup> stage_b: array<vec4f, ${tile.columns / 4 * depth}>;

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let place = group.z;
  let row = group.x * ${tile.rows}u;
  let column = group.y * ${tile.columns}u;
  let tx = thread % ${SIDE}u;
  let ty = thread / ${SIDE}u;
  ${problem.prologue}
  ${a.setup}
  ${b.setup}
  ${accumulators.map(({ r, c }) => `var c${r}_${c} = vec4f();`).join("\n")}
  ${problem.columnSums ? "var sums = vec4f();" : ""}
  ${outerLoop(problem, body)}
  ${
    accumulators.map(({ r, c }) => {
      const line = `row + ${(r >> 2) * 4 * SIDE + (r & 3)}u + 4u * ty`;
      const target = problem.targetRows ? `target_row(${line})` : line;
      return `store(place, ${target}, column / 4u + ${c * SIDE}u + tx, c${r}_${c});`;
    }).join("\n")
  }
  ${problem.columnSums ? combineSums(tile.columns / 4) : ""}
}`;
}
