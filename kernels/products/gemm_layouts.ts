/**
 * Candidate layouts of a matrix product on GPUs.
 *
 * In favour of large tiles: a tile of R x C reads (R + C) / (R C) elements from memory for a multiply-add. At 64x64 that is
 * an eighth of a byte in float32, near what the second-level cache of a large GPU can give at its full rate; at 128x128 half
 * of it. And a thread that computes 8x8 reads a quarter of a float from workgroup memory for a multiply-add, 8x4 three
 * eighths, 4x4 a half, where a multiprocessor reads 32 floats (those that threads share, once) for 128 multiply-adds. In
 * favour of small tiles: few large ones leave multiprocessors without work; padding; and 8x8 takes more than a hundred
 * registers, which Intel's and Apple's GPUs do not have at full occupancy. `bench/NOTES.md` has what an H200 chose.
 *
 * @module
 */
import type { GemmProblem, GemmSize } from "./gemm_problem.ts";
import { threadsOf, type TileLayout, workgroupBytes } from "./gemm_tile.ts";

type Shape = readonly [
  rows: number,
  columns: number,
  depth: number,
  block: TileLayout["block"],
  stages: 1 | 2,
];

/** One layout for each size of tile, from large to small: what the rule picks from. */
const BY_SIZE: readonly Shape[] = [
  [128, 128, 8, [8, 8], 2],
  [128, 64, 8, [8, 8], 2],
  [64, 64, 8, [8, 4], 2],
  [64, 32, 8, [8, 4], 2],
  [32, 32, 16, [4, 4], 2],
];

/** Other ways to compute the same tiles, which may suit a device better. */
const OTHERS: readonly Shape[] = [
  [128, 128, 16, [8, 8], 1],
  [64, 64, 16, [8, 8], 1],
  [32, 32, 32, [4, 4], 1],
];

/** Products that add up in float16 before their sum is added in float32: as many as are staged at a time. */
const HALF_TERMS = 16;

const layouts = (shapes: readonly Shape[], half: boolean): readonly TileLayout[] =>
  shapes.map(([rows, columns, depth, block, stages]) => ({
    ...{ rows, columns, block, half, width: 4 },
    depth: half ? HALF_TERMS : depth,
    double: stages === 2,
  }));

const SINGLE = { bySize: layouts(BY_SIZE, false), others: layouts(OTHERS, false) };
const HALF = { bySize: layouts(BY_SIZE, true), others: layouts(OTHERS, true) };

/** All layouts for elements in float32 or float16. */
export function allTileLayouts(half: boolean): TileLayout[] {
  const { bySize, others } = half ? HALF : SINGLE;
  return [...bySize, ...others];
}

/** Workgroups that keep a large GPU busy: two for each multiprocessor. */
const ENOUGH_GROUPS = 256;
/** Workgroups that keep a small one busy. */
const FEW_GROUPS = 32;
const MOST_CANDIDATES = 5;
/** Workgroup memory that every device has. */
const WORKGROUP_BYTES = 16384;

/** `tile_ROWSxCOLUMNSxDEPTH_THREADS`, and `_db` where the stages are two. */
export function tileName(layout: TileLayout): string {
  const { rows, columns, depth, double } = layout;
  return `tile_${rows}x${columns}x${depth}_${threadsOf(layout)}${double ? "_db" : ""}`;
}

/** Layouts for a product, the one that suits most GPUs first, then those next to it in size. */
export function tileLayouts(
  { columnSums = false }: Pick<GemmProblem, "columnSums">,
  size: GemmSize,
  half: boolean,
): TileLayout[] {
  const { bySize } = half ? HALF : SINGLE;
  const smallest = bySize[bySize.length - 1];
  const covered = ({ rows, columns }: TileLayout) =>
    Math.ceil(size.rows / rows) * rows * Math.ceil(size.columns / columns) * columns;
  const groups = (layout: TileLayout) => size.places * covered(layout) / (layout.rows * layout.columns);
  const fits = (layout: TileLayout, enough: number) =>
    groups(layout) >= enough && covered(layout) <= 4 / 3 * covered(smallest) &&
    workgroupBytes(layout, columnSums) <= WORKGROUP_BYTES;
  const best = bySize.find((layout) => fits(layout, ENOUGH_GROUPS)) ?? smallest;
  const distance = (layout: TileLayout) =>
    Math.abs(Math.log2(layout.rows * layout.columns / (best.rows * best.columns)));
  const others = allTileLayouts(half).filter((layout) =>
    layout !== best && fits(layout, layout.rows > smallest.rows ? FEW_GROUPS : 0)
  );
  others.sort((a, b) => distance(a) - distance(b));
  return [best, ...others].slice(0, MOST_CANDIDATES);
}
