/**
 * Candidate layouts of a matrix product on GPUs.
 *
 * Large tiles reduce memory traffic: a tile of R x C reads (R + C) / (R C) elements per multiply-add. At 64x64 in float32
 * that is an eighth of a byte, close to the L2 bandwidth of a large GPU at its full rate; at 128x128 half of that. A thread
 * with an 8x8 block reads a quarter of a float from workgroup memory per multiply-add, 8x4 three eighths, 4x4 a half, where a
 * multiprocessor reads 32 floats (shared ones once) per 128 multiply-adds. Small tiles improve occupancy: few large ones
 * leave multiprocessors idle, waste more on padding, and an 8x8 block takes more than a hundred registers, too many for full
 * occupancy on Intel and Apple GPUs. `bench/NOTES.md` has the choices of an H200.
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

/** Default layouts, one per tile size, from large to small. */
const BY_SIZE: readonly Shape[] = [
  [128, 128, 8, [8, 8], 2],
  [128, 64, 8, [8, 8], 2],
  [64, 64, 8, [8, 4], 2],
  [64, 32, 8, [8, 4], 2],
  [32, 32, 16, [4, 4], 2],
];

/** Alternative layouts for autotuning. */
const OTHERS: readonly Shape[] = [
  [128, 128, 16, [8, 8], 1],
  [64, 64, 16, [8, 8], 1],
  [32, 32, 32, [4, 4], 1],
];

/** Terms accumulated in float16 before their sum is added in float32: one stage. */
const HALF_TERMS = 16;

const layouts = (shapes: readonly Shape[], half: boolean): readonly TileLayout[] =>
  shapes.map(([rows, columns, depth, block, stages]) => ({
    ...{ rows, columns, block, half, width: 4 },
    depth: half ? HALF_TERMS : depth,
    double: stages === 2,
  }));

const SINGLE = { bySize: layouts(BY_SIZE, false), others: layouts(OTHERS, false) };
const HALF = { bySize: layouts(BY_SIZE, true), others: layouts(OTHERS, true) };

/** All layouts for float32 or float16 elements. */
export function allTileLayouts(half: boolean): TileLayout[] {
  const { bySize, others } = half ? HALF : SINGLE;
  return [...bySize, ...others];
}

/** Workgroups that occupy a large GPU: two per multiprocessor. */
const ENOUGH_GROUPS = 256;
/** Workgroups that occupy a small GPU. */
const FEW_GROUPS = 32;
/** Limit on candidates per product, which bounds tuning time. */
const MAX_CANDIDATES = 5;
/** WebGPU's guaranteed workgroup memory, bytes. */
const WORKGROUP_BYTES = 16384;

/** Layout name: `tile_ROWSxCOLUMNSxDEPTH_THREADS`, with `_db` for double buffering. */
export function tileName(layout: TileLayout): string {
  const { rows, columns, depth, double } = layout;
  return `tile_${rows}x${columns}x${depth}_${threadsOf(layout)}${double ? "_db" : ""}`;
}

/** Candidate layouts of a product: the default for GPUs first, then by similarity of tile size. */
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
  return [best, ...others].slice(0, MAX_CANDIDATES);
}
