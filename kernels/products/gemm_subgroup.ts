/**
 * The layout for software adapters: one 8-lane subgroup a workgroup, registers only.
 *
 * llvmpipe runs a subgroup as one SIMD vector. A load costs it about 22 cycles a vector (a branch per lane and a bounds check
 * per element), a multiply-add two instructions, a broadcast from one lane one: so each lane keeps 4 columns for all rows of
 * the tile, loads of A are spread over the lanes (no element is loaded twice) and broadcast, and four k go into one turn of
 * the loop, since every loop turn also blends each accumulator with the lane mask. All loads come before the arithmetic:
 * interleaved, each of their many basic blocks would spill accumulators. Where the result has too few columns for that, a
 * lane keeps 2 or 1, so that fewer lanes compute nothing. The arithmetic is float32, however elements are stored.
 *
 * @module
 */
import { columnTypes, type GemmOperand, type GemmProblem, type GemmTile, outerLoop } from "./gemm_problem.ts";
import { range } from "../range.ts";

/** Lanes of the one subgroup that all this is laid out for. */
export const SUBGROUP_LANES = 8;
const X = "xyzw";

/** Four loads' worth of A for the tile's rows, and where element (row, k) of it is. */
function rowsOfA(a: GemmOperand, rows: number) {
  if (a.along === "k") {
    const slots = range(rows / SUBGROUP_LANES);
    return {
      setup: slots.map((q) => a.setup(`a${q}`, `row + ${SUBGROUP_LANES * q}u + lane`)),
      turn: [...slots.map((q) => a.turn(`a${q}`)), ...skip(a, slots.map((q) => `a${q}`))],
      load: slots.map((q) => `let a_${q} = vec4f(${a.load(`a${q}`, "k")});`),
      element: (row: number, k: number) => `subgroupBroadcast(a_${row >> 3}.${X[k]}, ${row & 7}u)`,
    };
  }
  // A quad of rows a lane; where that leaves lanes over, they take the next k.
  const lanes = rows / 4;
  const perLoad = SUBGROUP_LANES / lanes;
  const at = (j: number) => `4u * k + ${j * perLoad}u + lane / ${lanes}u`;
  return {
    setup: [a.setup("a", `row / 4u + lane % ${lanes}u`)],
    turn: [a.turn("a")],
    load: range(4 / perLoad).map((j) => `let a_${j} = vec4f(${a.load("a", at(j))});`),
    element: (row: number, k: number) =>
      `subgroupBroadcast(a_${Math.floor(k / perLoad)}.${X[row % 4]}, ${(k % perLoad) * lanes + (row >> 2)}u)`,
  };
}

/** Passes over a turn in which no row has an element. */
function skip({ active }: GemmOperand, slots: string[]): string[] {
  return active ? [`if (!subgroupAny(${slots.map(active).join(" | ")})) { continue; }`] : [];
}

/** Loads of B that leave, for each of four k, the lane's columns in `b_<k>`. */
function columnsOfB(b: GemmOperand, width: number) {
  if (b.along === "lines") {
    return {
      setup: [b.setup("b", "column")],
      turn: [b.turn("b")],
      load: range(4).map((x) => `let b_${x} = Columns(${b.load("b", `4u * k + ${x}u`)});`),
    };
  }
  return {
    setup: range(width).map((c) => b.setup(`b${c}`, `WIDTH * column + ${c}u`)),
    turn: range(width).map((c) => b.turn(`b${c}`)),
    load: [
      ...range(width).map((c) => `let t_${c} = vec4f(${b.load(`b${c}`, "k")});`),
      ...range(4).map((x) =>
        `let b_${x} = Columns(${range(width).map((c) => `t_${c}.${X[x]}`).join(", ")});`
      ),
    ],
  };
}

/** Renumbers the tile's rows, a lane for each, and leaves the numbers in `targets`. */
function targets(rows: number): string {
  const perLane = range(rows / SUBGROUP_LANES).map((q) =>
    `let target_${q} = target_row(row + ${SUBGROUP_LANES * q}u + lane);`
  );
  const all = range(rows).map((r) => `subgroupBroadcast(target_${r >> 3}, ${r & 7}u)`);
  return `${perLane.join("\n")}\n  var targets = array<u32, ${rows}>(${all.join(", ")});`;
}

/** WGSL of a product for one subgroup a workgroup. */
export function gemmSubgroup(problem: GemmProblem, { rows, width }: GemmTile, half: boolean): string {
  const a = rowsOfA(problem.a, rows);
  const b = columnsOfB(problem.b, width);
  const multiply = range(rows).map((r) =>
    range(4).map((x) => `let s${r}_${x} = ${a.element(r, x)};`).join(" ") +
    ` c${r} += ${range(4).map((x) => `s${r}_${x} * b_${x}`).join(" + ")};`
  );
  const lines = (parts: string[]) => parts.filter((part) => part !== "").join("\n");
  const body = `${problem.turn}
    ${lines(a.turn)}
    ${lines(b.turn)}
    let depth = ${problem.depth};
    var k = 0u;
    loop {
      ${lines(a.load)}
      ${lines(b.load)}
      ${lines(multiply)}
      ${problem.columnSums ? "sums += b_0 + b_1 + b_2 + b_3;" : ""}
      continuing { k++; break if k >= depth; }
    }`;
  return `${columnTypes(width, half)}
${problem.declarations}

@compute @workgroup_size(${SUBGROUP_LANES})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = group.z;
  let row = group.x * ${rows}u;
  let column = group.y * ${SUBGROUP_LANES}u + lane;
  ${problem.prologue}
  ${lines(a.setup)}
  ${lines(b.setup)}
  ${lines(range(rows).map((r) => `var c${r} = Columns();`))}
  ${problem.columnSums ? "var sums = Columns();" : ""}
  ${outerLoop(problem, body)}
  var c = array<Columns, ${rows}>(${range(rows).map((r) => `c${r}`).join(", ")});
  // Counting from \`row\` keeps Mesa from guessing the number of turns and unrolling this long body.
  let end = min(row + ${rows}u, ${problem.rows});
  ${problem.targetRows ? targets(rows) : ""}
  var r = row;
  loop {
    store(place, ${problem.targetRows ? "targets[r - row]" : "r"}, column, c[r - row]);
    continuing { r++; break if r >= end; }
  }
  ${problem.columnSums ? "if (group.x == 0u) { store_sums(place, column, sums); }" : ""}
}`;
}
