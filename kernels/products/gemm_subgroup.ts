/**
 * Matrix product generator for software adapters: one 8-lane subgroup per workgroup, registers only. Accumulates in float32,
 * whatever the storage type.
 *
 * llvmpipe runs a subgroup as one SIMD vector. A load costs about 22 cycles per vector (a branch per lane and a bounds check
 * per element), a multiply-add two instructions, a broadcast from one lane one. So each lane computes 4 columns of all rows of
 * the tile, loads of A are spread over the lanes (no element is loaded twice) and broadcast, and the loop is unrolled by four
 * k, since every iteration also blends each accumulator with the lane mask. All loads come before the arithmetic:
 * interleaved, each of their many basic blocks would spill accumulators. Results with few columns use 2 or 1 per lane, so
 * that fewer lanes are idle.
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
  zeroOperand,
} from "./gemm_problem.ts";
import { range } from "../range.ts";

/** Lanes of the subgroup; the generated code supports no other size. */
export const SUBGROUP_LANES = 8;
const X = "xyzw";

/** Declares variables and loads them from an operand; its slots differ in the line only. */
function declareLoads(
  operand: GemmOperand,
  slot: string,
  loads: readonly { readonly name: string; readonly value: (load: GemmOperand["load"]) => string }[],
): string {
  const statements = (keyword: string) => (load: GemmOperand["load"]) =>
    loads.map(({ name, value }) => `${keyword}${name} = vec4f(${value(load)});`).join("\n");
  if (!operand.second) return withLoads(operand, slot, statements("let "));
  const declared = loads.map(({ name }) => `var ${name}: vec4f;`).join(" ");
  return `${declared}\n${withLoads(operand, slot, statements(""))}`;
}

/** Load of a single k along lines by an operand. Its number may be past the last one. */
function loadOfLine(name: "a" | "b", problem: GemmProblem, load: GemmOperand["load"], k: string): string {
  const { terms } = problem;
  if (terms === undefined) return load(name, k);
  const inside = zeroOperand(problem) === name ? `${k} < ${terms}` : undefined;
  return load(name, `min(${k}, ${terms} - 1u)`, inside);
}

/** Loads of four k of A for the tile's rows, and the expression of element (row, k). */
function rowsOfA(problem: GemmProblem, rows: number) {
  const { a } = problem;
  if (a.along === "k") {
    const slots = range(rows / SUBGROUP_LANES);
    return {
      setup: slots.map((q) => a.setup(`a${q}`, `row + ${SUBGROUP_LANES * q}u + lane`)),
      turn: [...slots.map((q) => a.turn(`a${q}`)), ...skip(a, slots.map((q) => `a${q}`))],
      load: [
        declareLoads(
          a,
          "a0",
          slots.map((q) => ({ name: `a_${q}`, value: (load) => load(`a${q}`, "k") })),
        ),
      ],
      element: (row: number, k: number) => `subgroupBroadcast(a_${row >> 3}.${X[k]}, ${row & 7}u)`,
    };
  }
  // A quad of rows per lane; surplus lanes load the next k.
  const lanes = rows / 4;
  const perLoad = SUBGROUP_LANES / lanes;
  const at = (j: number) => `4u * k + ${j * perLoad}u + lane / ${lanes}u`;
  return {
    setup: [a.setup("a", `row / 4u + lane % ${lanes}u`)],
    turn: [a.turn("a")],
    load: [
      declareLoads(
        a,
        "a",
        range(4 / perLoad).map((j) => ({
          name: `a_${j}`,
          value: (load) => loadOfLine("a", problem, load, at(j)),
        })),
      ),
    ],
    element: (row: number, k: number) =>
      `subgroupBroadcast(a_${Math.floor(k / perLoad)}.${X[row % 4]}, ${(k % perLoad) * lanes + (row >> 2)}u)`,
  };
}

/** Skips iterations in which no row has an element. */
function skip({ active }: GemmOperand, slots: string[]): string[] {
  return active ? [`if (!subgroupAny(${slots.map(active).join(" | ")})) { continue; }`] : [];
}

/** Loads of B: for each of four k, the lane's columns in `b_<k>`. */
function columnsOfB(problem: GemmProblem, width: number) {
  const { b } = problem;
  if (b.along === "lines") {
    return {
      setup: [b.setup("b", "column")],
      turn: [b.turn("b")],
      load: range(4).map((x) =>
        `let b_${x} = Columns(${loadOfLine("b", problem, b.load, `4u * k + ${x}u`)});`
      ),
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

/** Renumbers the tile's rows, one lane per row, into the array `targets`. */
function targets(rows: number): string {
  const perLane = range(rows / SUBGROUP_LANES).map((q) =>
    `let target_${q} = target_row(row + ${SUBGROUP_LANES * q}u + lane);`
  );
  const all = range(rows).map((r) => `subgroupBroadcast(target_${r >> 3}, ${r & 7}u)`);
  return `${perLane.join("\n")}\n  var targets = array<u32, ${rows}>(${all.join(", ")});`;
}

/** WGSL of a product with one subgroup per workgroup. */
export function gemmSubgroup(problem: GemmProblem, { rows, width }: GemmTile, half: boolean): string {
  const a = rowsOfA(problem, rows);
  const b = columnsOfB(problem, width);
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
  // Counting from \`row\` hides the trip count from Mesa, which would unroll this long body.
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
