/**
 * Tile of a workgroup on matrix units, and the workgroup memory it takes: stages of both operands, and results on their way
 * to the epilogue; see gemm_matrix.ts.
 *
 * @module
 */
import type { GemmOperand, GemmTile } from "./gemm_problem.ts";
import type { MatrixShape, MatrixUnits } from "../target.ts";

/** Tile of a workgroup. All sizes are powers of two. */
export interface MatrixLayout extends GemmTile {
  /** Length along k of a stage. */
  readonly depth: number;
  /** Subgroups along the rows and along the columns of the tile. */
  readonly subgroups: readonly [rows: number, columns: number];
  /** Double buffering: two alternating stages. */
  readonly double: boolean;
  /** Units that the tile is computed on. */
  readonly units: MatrixUnits;
  /** Matrix size, one of the units'. */
  readonly shape: MatrixShape;
}

/** Elements that pad a line of a stage: 16 bytes. */
const STAGE_PADDING = 8;
/** Vectors of four floats that pad a line of results, so that the units' stores hit different banks. */
const RESULT_PADDING = 2;

/** Threads per workgroup. */
export function matrixThreads({ subgroups: [rows, columns], units }: MatrixLayout): number {
  return rows * columns * units.subgroupSize;
}

/** Matrices of a subgroup's block along its rows and its columns. */
export function matricesOf({ rows, columns, subgroups, shape }: MatrixLayout): [number, number] {
  return [rows / (subgroups[0] * shape.rows), columns / (subgroups[1] * shape.columns)];
}

/** Vectors of a line of a stage, with its padding. */
export const stageLine = (elements: number): number => (elements + STAGE_PADDING) / 4;

/** Vectors of a stage of an operand. */
export function stageSize({ along }: GemmOperand, lines: number, depth: number): number {
  return along === "k" ? lines * stageLine(depth) : depth * stageLine(lines);
}

/** Vectors of a line of results of a subgroup. */
export const resultLine = ({ shape }: MatrixLayout, matrices: number): number =>
  matrices * shape.columns / 4 + RESULT_PADDING;

/** Vectors of the results of all subgroups, with room for a vector a thread. */
export function resultSize(layout: MatrixLayout, matrices: number): number {
  const { subgroups: [rows, columns], shape } = layout;
  return Math.max(rows * columns * shape.rows * resultLine(layout, matrices), matrixThreads(layout));
}

/** Bytes of all stages of a layout, if both operands take the longer form. */
function stageBytes({ rows, columns, depth, double }: MatrixLayout): number {
  const bytes = (lines: number) => 8 * Math.max(lines * stageLine(depth), depth * stageLine(lines));
  return (double ? 2 : 1) * (bytes(rows) + bytes(columns));
}

/** Bytes for results, unless one matrix a subgroup takes more: the rest of 48 KiB beside two stages of 128x128x32. */
const RESULT_BYTES = 8192;

/**
 * Neighbouring matrices that a subgroup stores at a time: more need fewer barriers, and let more loads of the epilogue be
 * outstanding.
 */
export function storedMatrices(layout: MatrixLayout): number {
  const [, columns] = matricesOf(layout);
  const fits = (matrices: number) => 16 * resultSize(layout, matrices) <= RESULT_BYTES;
  return [4, 2].find((matrices) => columns % matrices === 0 && fits(matrices)) ?? 1;
}

/** Workgroup memory in bytes. */
export function matrixWorkgroupBytes(layout: MatrixLayout): number {
  return stageBytes(layout) + 16 * resultSize(layout, storedMatrices(layout));
}
