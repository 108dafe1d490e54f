/**
 * Layouts of a matrix product on GPUs, and the rule that selects one by the size of the result.
 *
 * A tile of R x C reads (R + C) / (R C) elements per multiply-add: at 64x64 in float32 an eighth of a byte, close to the L2
 * bandwidth of a large GPU at its full rate. A thread with an 8x8 block reads a quarter of a float from workgroup memory per
 * multiply-add, with 4x4 a half. But a multiprocessor has four schedulers, and a group of 64 threads keeps only two of them
 * busy; so a product with fewer than two such groups per multiprocessor runs faster in smaller tiles.
 *
 * @module
 */
import type { GemmSize } from "./gemm_problem.ts";
import { type Staged, threadsOf, type TileLayout, workgroupBytes } from "./gemm_tile.ts";
import { GUARANTEED_WORKGROUP_BYTES } from "../target.ts";

const layout = (
  rows: number,
  columns: number,
  depth: number,
  block: TileLayout["block"],
  stages: 1 | 2 = 1,
  prefetch = stages === 2,
): TileLayout => ({ rows, columns, depth, block, stages, prefetch, width: 4 });

/** For results of many tiles. */
const LARGE = layout(64, 64, 16, [8, 8]);
/** For results of many rows and up to 32 columns. */
const NARROW = layout(64, 32, 8, [8, 4], 2);
/** For results of many rows and up to 8 columns, such as images, which leave most columns of other tiles empty. */
const THIN = layout(256, 8, 8, [8, 4]);
/** For results of few tiles: a deep stage, for many loads at a time. */
const SMALL = layout(32, 32, 32, [4, 4]);
/** Likewise, with the loads of the next stage in flight: dense layers have fewer groups than a GPU has multiprocessors. */
const SMALL_PREFETCHED = layout(32, 32, 32, [4, 4], 1, true);
/** For results of few tiles, where an iteration of the problem's outer loop would fill half of that stage. */
const SMALL_SHALLOW = layout(32, 32, 16, [4, 4], 2);
/** For large results where a multiprocessor has few groups at a time, which hide no latency. */
const PREFETCHED = layout(64, 64, 8, [8, 8], 2);
/** For large results, with the fewest reads of workgroup memory; about 210 registers a thread. */
const TALL = layout(128, 64, 8, [16, 8], 2);
/** For large results of operands along lines, whose stages need no padding. */
const SQUARE = layout(128, 128, 16, [8, 8]);

/** All layouts, from large to small. */
export const TILE_LAYOUTS: readonly TileLayout[] = [
  ...[SQUARE, TALL, LARGE, PREFETCHED],
  ...[NARROW, THIN, SMALL, SMALL_PREFETCHED, SMALL_SHALLOW],
];

/** Threads that give every scheduler of a large GPU (132 multiprocessors of four) a subgroup of 32, about. */
const ENOUGH_THREADS = 2 ** 14;

/** Layout name: `tile_ROWSxCOLUMNSxDEPTH_THREADS`, with `_db` for two stages, `_pf` for prefetch with one. */
export function tileName(layout: TileLayout): string {
  const { rows, columns, depth, stages, prefetch } = layout;
  const suffix = stages === 2 ? "_db" : prefetch ? "_pf" : "";
  return `tile_${rows}x${columns}x${depth}_${threadsOf(layout)}${suffix}`;
}

/** True if a layout can compute a problem on every device. */
export function supports(problem: Staged, layout: TileLayout): boolean {
  // Columns along k are staged by all threads.
  const staged = problem.b.along === "lines" || layout.columns * layout.depth / 4 >= threadsOf(layout);
  return staged && workgroupBytes(problem, layout) <= GUARANTEED_WORKGROUP_BYTES;
}

/** Candidate layouts of a product, the default for GPUs first. */
export function tileLayouts(problem: Staged, size: GemmSize): TileLayout[] {
  const tiles = ({ rows, columns }: TileLayout) =>
    Math.ceil(size.rows / rows) * Math.ceil(size.columns / columns);
  const covered = (layout: TileLayout) => tiles(layout) * layout.rows * layout.columns;
  // At most a third more arithmetic than in the smallest tiles, for rows and columns past the last.
  const fits = (layout: TileLayout, enough = ENOUGH_THREADS) =>
    size.places * tiles(layout) * threadsOf(layout) >= enough && covered(layout) <= 4 / 3 * covered(SMALL) &&
    supports(problem, layout);
  if (fits(LARGE)) {
    const larger = [TALL, SQUARE].filter((large) => fits(large));
    return [LARGE, ...larger, PREFETCHED, ...(fits(LARGE, 4 * ENOUGH_THREADS) ? [] : [SMALL])];
  }
  if (size.columns <= NARROW.columns && fits(NARROW)) {
    return [
      NARROW,
      ...[THIN].filter((thin) => size.columns <= thin.columns && supports(problem, thin)),
      SMALL,
    ];
  }
  const deep = fits(SMALL, 2 * ENOUGH_THREADS) ? [SMALL] : [SMALL, SMALL_PREFETCHED];
  const small = size.turn > SMALL_SHALLOW.depth ? [...deep, SMALL_SHALLOW] : [SMALL_SHALLOW, ...deep];
  return [...small, ...[PREFETCHED, LARGE].filter((large) => fits(large, ENOUGH_THREADS / 2))];
}
