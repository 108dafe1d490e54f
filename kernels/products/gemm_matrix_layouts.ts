/**
 * Candidate layouts of a matrix product on matrix units.
 *
 * In the time in which the tensor cores of an H200 multiply 64x64x16 elements, a multiprocessor reads 5 KiB of workgroup
 * memory. A subgroup with a block of 64x64 reads 4 KiB for them, with 64x32 6 KiB, with 32x32 8 KiB. Staging them, from L2 and
 * then into workgroup memory, takes twice 1 KiB in a tile of 128x128, twice 1.5 KiB in 128x64, twice 2 KiB in 64x64. So the
 * largest tile comes first, if enough workgroups are left to occupy the device. A block of 64x64 takes 128 registers a lane for
 * its sums, which leaves two workgroups a multiprocessor: alternatives halve the block or the stages. `bench/NOTES.md` predicts
 * what that is worth.
 *
 * @module
 */
import { type MatrixLayout, matrixThreads, matrixWorkgroupBytes } from "./gemm_matrix_tile.ts";
import type { GemmSize } from "./gemm_problem.ts";
import {
  GUARANTEED_INVOCATIONS,
  GUARANTEED_WORKGROUP_BYTES,
  type MatrixShape,
  type MatrixUnits,
} from "../target.ts";

type Stage = readonly [depth: number, stages: 1 | 2];

interface Tile {
  readonly rows: number;
  readonly columns: number;
  /** Subgroups along rows and columns. */
  readonly subgroups: readonly [number, number];
  /** Stages, the preferred ones first: the first that fits into workgroup memory is used. */
  readonly stages: readonly Stage[];
}

/** Shortest stage along k. */
const SHORTEST = 16;

const DEEP: readonly Stage[] = [[32, 2], [32, 1], [SHORTEST, 1]];

/** Columns of the tile for results of few columns. */
const NARROW = 32;

/** Default tiles, from large to small. */
const BY_SIZE: readonly Tile[] = [
  { rows: 128, columns: 128, subgroups: [2, 2], stages: DEEP },
  { rows: 128, columns: 64, subgroups: [2, 2], stages: DEEP },
  { rows: 64, columns: 64, subgroups: [2, 2], stages: DEEP },
  // Few columns, as the last convolution and small attention heads have; no other product takes it.
  { rows: 128, columns: NARROW, subgroups: [4, 1], stages: DEEP },
  // Products this small are bound by latency, so they take few, long stages.
  { rows: 32, columns: 32, subgroups: [2, 2], stages: [[64, 2], [64, 1], [32, 1], [SHORTEST, 1]] },
];

/** Alternative tiles for autotuning. */
const OTHERS: readonly Tile[] = [
  { rows: 128, columns: 128, subgroups: [2, 4], stages: [[32, 1], [SHORTEST, 1]] },
  { rows: 128, columns: 64, subgroups: [2, 2], stages: [[32, 1], [SHORTEST, 1]] },
  { rows: 64, columns: 64, subgroups: [2, 1], stages: [[32, 1], [SHORTEST, 1]] },
];

/** Limit on elements of results per lane, each a register. */
const MAX_RESULTS = 128;
/** Workgroups that occupy a large GPU: two per multiprocessor. */
const ENOUGH_GROUPS = 256;
/** Workgroups that occupy a small GPU. */
const FEW_GROUPS = 32;
/** Limit on candidates per product, which bounds tuning time. */
const MAX_CANDIDATES = 5;

/** Layout name: `matrix_ROWSxCOLUMNSxDEPTH_THREADS`, with `_db` for double buffering. */
export function matrixLayoutName(layout: MatrixLayout): string {
  const { rows, columns, depth, double } = layout;
  return `matrix_${rows}x${columns}x${depth}_${matrixThreads(layout)}${double ? "_db" : ""}`;
}

/** True if subgroups divide the tile into whole matrices of whole vectors, and threads the stages into whole vectors. */
function divides(layout: MatrixLayout): boolean {
  const { rows, columns, depth, subgroups, shape } = layout;
  const threads = matrixThreads(layout);
  return [shape.rows, shape.columns, shape.depth].every((size) => size % 4 === 0) &&
    threads <= GUARANTEED_INVOCATIONS && depth % shape.depth === 0 &&
    rows % (subgroups[0] * shape.rows) === 0 && columns % (subgroups[1] * shape.columns) === 0 &&
    [rows, columns].every((lines) => lines * depth % (4 * threads) === 0);
}

/** Matrix size of a device's products, with its units and its workgroup memory in bytes. */
interface Matrices {
  readonly units: MatrixUnits;
  readonly shape: MatrixShape;
  readonly bytes: number;
}

/**
 * Matrix size of a device's products: the largest that has layouts for every product, since each instruction multiplies one
 * matrix; undefined if there is none. A short turn leaves the fewest layouts.
 */
function productMatrices(units: MatrixUnits, bytes: number): Matrices | undefined {
  const volume = ({ rows, columns, depth }: MatrixShape) => rows * columns * depth;
  return units.shapes.toSorted((a, b) => volume(b) - volume(a)).map((shape) => ({ units, shape, bytes }))
    .find((matrices) => layoutsFor(matrices, SHORTEST).length > 0);
}

/**
 * The tile with the longest stages that fit into workgroup memory and are not mostly zeros in iterations of `turn` k;
 * undefined if none do.
 */
function fitted({ units, shape, bytes }: Matrices, tile: Tile, turn: number): MatrixLayout | undefined {
  const { rows, columns, subgroups, stages } = tile;
  const layouts = stages.map(([depth, count]): MatrixLayout => ({
    ...{ rows, columns, subgroups, depth, units, shape, width: 4, double: count === 2 },
  }));
  return layouts.find((layout) =>
    divides(layout) && rows * columns / matrixThreads(layout) <= MAX_RESULTS &&
    matrixWorkgroupBytes(layout) <= bytes &&
    (layout.depth < 2 * turn || layout.depth === SHORTEST)
  );
}

/** Layouts for products of a turn; see {@linkcode GemmSize}. */
function layoutsFor(matrices: Matrices, turn: number): MatrixLayout[] {
  const layouts = [...BY_SIZE, ...OTHERS].map((tile) => fitted(matrices, tile, turn));
  // With little memory, tiles that differ in their stages only become the same.
  return [
    ...new Map(layouts.flatMap((layout) => layout ? [[matrixLayoutName(layout), layout]] : [])).values(),
  ];
}

/**
 * All layouts of a device, from long stages to short ones, and from large tiles to small ones; empty if its products cannot
 * use its matrices.
 */
export function allMatrixLayouts(units: MatrixUnits, bytes = GUARANTEED_WORKGROUP_BYTES): MatrixLayout[] {
  const matrices = productMatrices(units, bytes);
  const layouts = matrices ? [64, 32, SHORTEST].flatMap((turn) => layoutsFor(matrices, turn)) : [];
  return [...new Map(layouts.map((layout) => [matrixLayoutName(layout), layout])).values()];
}

/**
 * Candidate layouts of a product: the default first, then by similarity of tile size.
 *
 * @throws {RangeError} if {@linkcode allMatrixLayouts} has none
 */
export function matrixLayouts(
  units: MatrixUnits,
  bytes = GUARANTEED_WORKGROUP_BYTES,
  size: GemmSize,
): MatrixLayout[] {
  const matrices = productMatrices(units, bytes);
  if (!matrices) throw new RangeError("no layout suits the matrix units");
  const all = layoutsFor(matrices, size.turn);
  const smallest = all.reduce((least, layout) => area(layout) < area(least) ? layout : least);
  const groups = ({ rows, columns }: MatrixLayout) =>
    size.places * Math.ceil(size.rows / rows) * Math.ceil(size.columns / columns);
  const covered = (layout: MatrixLayout) => groups(layout) * area(layout);
  const isNarrow = ({ rows, columns }: MatrixLayout) => rows > columns && columns === NARROW;
  // At most a third more arithmetic than in the smallest tiles, for rows and columns past the last.
  const fits = (layout: MatrixLayout, enough: number) =>
    groups(layout) >= enough && covered(layout) <= 4 / 3 * covered(smallest) &&
    (!isNarrow(layout) || size.columns <= NARROW);
  const best = all.find((layout) => fits(layout, ENOUGH_GROUPS)) ?? smallest;
  const distance = (layout: MatrixLayout) => Math.abs(Math.log2(area(layout) / area(best)));
  const others = all.filter((layout) => layout !== best);
  others.sort((a, b) => distance(a) - distance(b));
  const fitting = others.filter((layout) => fits(layout, layout === smallest ? 0 : FEW_GROUPS));
  // There is always a choice.
  return [best, ...fitting.length > 0 ? fitting : others.slice(0, 1)].slice(0, MAX_CANDIDATES);
}

const area = ({ rows, columns }: MatrixLayout) => rows * columns;
