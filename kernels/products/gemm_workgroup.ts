/**
 * WGSL common to the generators that stage operands in workgroup memory, gemm_tile.ts and gemm_matrix.ts: the distribution of
 * loads over the threads of a workgroup, the loop around the steps along k, and column sums.
 *
 * @module
 */
import { type GemmProblem, outerLoop, withLoads, zeroOperand } from "./gemm_problem.ts";
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

/** Use of quads past the last one, which a stage may reach: they are loaded only, or multiplied as well. */
export type PastUse = "loaded" | "multiplied";

/** Variables that loads set. */
export interface LoadedVariables {
  readonly type: "vec4f" | "Stored4";
  /** True if every stage declares its own. */
  readonly declared: boolean;
  readonly past: PastUse;
}

/**
 * Distributes the loads of an operand over the threads of a workgroup: along `k`, neighbouring threads load neighbouring quads
 * of a line; along `lines`, neighbouring quads of lines. Past the last k a load repeats that one, since devices may read outside
 * of a tensor where nothing checks it.
 */
export function stageLoads(
  name: "a" | "b",
  problem: GemmProblem,
  { lines, depth, threads }: LoadShape,
  { type, declared, past }: LoadedVariables,
): StageLoads {
  const operand = problem[name];
  const alongK = operand.along === "k";
  const first = name === "a" ? "row" : "column";
  const loads = range(Math.ceil(lines * depth / 4 / threads));
  const loaded = loads.map((j) => `${name}_v${j}`);
  const quads = (alongK ? depth : lines) / 4;
  // Along k, each load of a thread is on another line; along lines, at another k.
  const slots = alongK ? loads.map((j) => `${name}${j}`) : [name];
  const slot = (j: number) => slots[alongK ? j : 0];
  const k = (j: number) => alongK ? `${name}_k` : `${name}_k${j}`;
  const end = alongK ? "depth" : problem.terms ?? "4u * depth";
  const step = (j: number) => `thread / ${quads}u + ${j * threads / quads}u`;
  const line = (j: number) => alongK ? `${first} + ${step(j)}` : `${first} / 4u + thread % ${quads}u`;
  const unclamped = (j: number) => alongK ? `k + thread % ${quads}u` : `4u * k + ${step(j)}`;
  const ks = (alongK ? [0] : loads).map((j) =>
    `let unclamped_${k(j)} = ${unclamped(j)};
    let ${k(j)} = min(unclamped_${k(j)}, ${end} - 1u);`
  );
  const counts = past === "multiplied" || problem.columnSums || !alongK && problem.terms !== undefined;
  const zero = counts && zeroOperand(problem) === name;
  const inside = (j: number) => zero ? `unclamped_${k(j)} < ${end}` : undefined;
  // Branches around the loads of a second tensor do not compute with what they load.
  const { second } = operand;
  const masks = second && zero
    ? loads.map((j) => `${loaded[j]} = select(${type}(), ${loaded[j]}, ${inside(j)});`)
    : [];
  return {
    loaded,
    setup: slots.map((slot, j) => operand.setup(slot, line(j))).join("\n"),
    turn: slots.map((slot) => operand.turn(slot)).join("\n"),
    load: [
      ...ks,
      ...declared ? loaded.map((variable) => `var ${variable}: ${type};`) : [],
      withLoads(operand, slots[0], (load) => {
        const value = (j: number) => load(slot(j), k(j), second ? undefined : inside(j));
        return loads.map((j) => `${loaded[j]} = ${type}(${value(j)});`).join("\n");
      }),
      ...masks,
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
