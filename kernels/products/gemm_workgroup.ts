/**
 * WGSL common to the generators that stage operands in workgroup memory, gemm_tile.ts and gemm_matrix.ts: the distribution of
 * loads over the threads of a workgroup, the loop around the steps along k, and column sums.
 *
 * @module
 */
import { type GemmOperand, type GemmProblem, outerLoop, withLoads } from "./gemm_problem.ts";
import { range } from "../range.ts";

/** Loads of a stage of an operand; all strings are WGSL. */
export interface StageLoads {
  /** Statements before the loop. */
  readonly setup: string;
  /** Statements at the start of each iteration of the problem's outer loop. */
  readonly turn: string;
  /** Loads of a stage, starting at quad `k`. */
  readonly load: string;
  /** Variables of the loaded values. */
  readonly loaded: readonly string[];
}

/** Stage of an operand, loaded by a workgroup. */
export interface LoadShape {
  /** Rows of A or columns of B. */
  readonly lines: number;
  /** Length along k. */
  readonly depth: number;
  /** Threads of the workgroup. */
  readonly threads: number;
}

/** WGSL statements of a generator for a load; where the condition `inside` is false, `k` is past the last. */
export interface LoadStatements {
  /** Type of the variables, if every stage declares its own. */
  readonly type?: string;
  /** Sets `variable` by `load`, which is that of the operand or of its second tensor. */
  load(load: GemmOperand["load"], variable: string, slot: string, k: string, inside: string): string;
  /** Sets `variable` to zero where `inside` is false, after all loads; absent: `load` has done so, or need not. */
  mask?(variable: string, inside: string): string;
}

/**
 * Distributes the loads of an operand over the threads of a workgroup: along `k`, neighbouring threads load neighbouring quads
 * of a line; along `lines`, neighbouring quads of lines.
 */
export function stageLoads(
  name: "a" | "b",
  operand: GemmOperand,
  { lines, depth, threads }: LoadShape,
  { type, load, mask }: LoadStatements,
): StageLoads {
  const alongK = operand.along === "k";
  const first = name === "a" ? "row" : "column";
  const loads = range(Math.ceil(lines * depth / 4 / threads));
  const loaded = loads.map((j) => `${name}_v${j}`);
  const quads = (alongK ? depth : lines) / 4;
  // Along k, each load of a thread is on another line; along lines, at another k.
  const slots = alongK ? loads.map((j) => `${name}${j}`) : [name];
  const slot = (j: number) => slots[alongK ? j : 0];
  const k = (j: number) => alongK ? `${name}_k` : `${name}_k${j}`;
  const inside = (j: number) => `${k(j)} < ${alongK ? "depth" : "4u * depth"}`;
  const step = (j: number) => `thread / ${quads}u + ${j * threads / quads}u`;
  const line = (j: number) => alongK ? `${first} + ${step(j)}` : `${first} / 4u + thread % ${quads}u`;
  const ks = alongK
    ? [`let ${k(0)} = k + thread % ${quads}u;`]
    : loads.map((j) => `let ${k(j)} = 4u * k + ${step(j)};`);
  return {
    loaded,
    setup: slots.map((slot, j) => operand.setup(slot, line(j))).join("\n"),
    turn: slots.map((slot) => operand.turn(slot)).join("\n"),
    load: [
      ...ks,
      ...type ? loaded.map((variable) => `var ${variable}: ${type};`) : [],
      withLoads(
        operand,
        slots[0],
        (from) => loads.map((j) => load(from, loaded[j], slot(j), k(j), inside(j))).join("\n"),
      ),
      ...mask ? loads.map((j) => mask(loaded[j], inside(j))) : [],
    ].join("\n"),
  };
}

/**
 * Outer loop of a problem for a workgroup of `rows` rows; `steps` are statements that loop over the quads of k below `depth`.
 */
export function loopOverSteps(
  problem: GemmProblem,
  rows: number,
  loads: readonly StageLoads[],
  steps: string,
): string {
  const active = problem.a.anyActive?.("row", `row + ${rows - 1}u`);
  return outerLoop(
    problem,
    `${problem.turn}
    ${active ? `if (!${active}) { continue; }` : ""}
    ${loads.map(({ turn }) => turn).join("\n    ")}
    let depth = ${problem.depth};
    ${steps}`,
  );
}

/** Sum of the threads' partial sums of a quad of columns, in a fixed order; thread t has those of quad t % (columns / 4). */
export function sumOverThreads(array: string, threads: number, columns: number): string {
  const quads = columns / 4;
  return range(threads / quads).map((i) => `${array}[thread + ${i * quads}u]`).join(" + ");
}
