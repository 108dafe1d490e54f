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
import { threadsOf, type TileLayout } from "./gemm_tile.ts";

const layout = (
  rows: number,
  columns: number,
  depth: number,
  block: TileLayout["block"],
  stages: 1 | 2 = 1,
): TileLayout => ({ rows, columns, depth, block, double: stages === 2, width: 4 });

/** For results of many tiles. */
const LARGE = layout(64, 64, 16, [8, 8]);
/** For results of many rows and up to 32 columns. */
const NARROW = layout(64, 32, 8, [8, 4], 2);
/** For results of few tiles: a deep stage, for many loads at a time. */
const SMALL = layout(32, 32, 32, [4, 4]);
/** Likewise, where an iteration of the problem's outer loop would fill half of that stage. */
const SMALL_SHALLOW = layout(32, 32, 16, [4, 4], 2);
/** For results of many tiles on devices with enough registers and threads; only by autotuning. */
const HUGE = layout(128, 128, 16, [8, 8]);

/** All layouts, from large to small. */
export const TILE_LAYOUTS: readonly TileLayout[] = [HUGE, LARGE, NARROW, SMALL, SMALL_SHALLOW];

/** Threads that give every scheduler of a large GPU (132 multiprocessors of four) a subgroup of 32, about. */
const ENOUGH_THREADS = 2 ** 14;

/** Layout name: `tile_ROWSxCOLUMNSxDEPTH_THREADS`, with `_db` for double buffering. */
export function tileName(layout: TileLayout): string {
  const { rows, columns, depth, double } = layout;
  return `tile_${rows}x${columns}x${depth}_${threadsOf(layout)}${double ? "_db" : ""}`;
}

/** Candidate layouts of a product, the default for GPUs first. */
export function tileLayouts(size: GemmSize): TileLayout[] {
  const tiles = ({ rows, columns }: TileLayout) =>
    Math.ceil(size.rows / rows) * Math.ceil(size.columns / columns);
  const covered = (layout: TileLayout) => tiles(layout) * layout.rows * layout.columns;
  // At most a third more arithmetic than in the smallest tiles, for rows and columns past the last.
  const fits = (layout: TileLayout, enough = ENOUGH_THREADS) =>
    size.places * tiles(layout) * threadsOf(layout) >= enough && covered(layout) <= 4 / 3 * covered(SMALL);
  if (fits(LARGE)) return [LARGE, ...[HUGE].filter((huge) => fits(huge)), SMALL];
  if (size.columns <= NARROW.columns && fits(NARROW)) return [NARROW, SMALL];
  const small = size.turn > SMALL_SHALLOW.depth ? [SMALL, SMALL_SHALLOW] : [SMALL_SHALLOW, SMALL];
  return [...small, ...[LARGE].filter((large) => fits(large, ENOUGH_THREADS / 2))];
}
