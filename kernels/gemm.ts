/**
 * Picks layout and tile of a product for a device, and keeps the generated kernels.
 *
 * @module
 */
import { gemmSubgroup } from "./gemm_subgroup.ts";
import { gemmTile } from "./gemm_tile.ts";
import type { GemmProblem, GemmTile } from "./gemm_problem.ts";
import { type KernelSource, parseKernel } from "./source.ts";
import type { KernelTarget } from "./target.ts";

/** A generated kernel (entry point `main`) and the tile that its grid counts in: x over rows, y over columns, z is `place`. */
export interface GemmKernel {
  readonly source: KernelSource;
  readonly tile: GemmTile;
}

/** Lanes of the one subgroup that the `subgroup` path is laid out for. */
export const SUBGROUP_LANES = 8;

const cache = new Map<string, KernelSource>();

/** A kernel's source by name, made on first use, so that the same variant is always the same object. */
export function cachedKernel(name: string, code: () => string): KernelSource {
  let source = cache.get(name);
  if (!source) cache.set(name, source = parseKernel(name, code()));
  return source;
}

/**
 * The kernel for a product of `rows` x `columns` on a target.
 *
 * @param places how many such products the grid holds (batches, splits): few tiles in all ask for small ones
 */
export function gemmKernel(
  target: KernelTarget,
  problem: GemmProblem,
  rows: number,
  columns: number,
  places: number,
): GemmKernel {
  const subgroup = target.path === "subgroup" && target.subgroupSize === SUBGROUP_LANES;
  const tile = subgroup
    ? subgroupTile(rows, problem.wideOnly ? Infinity : columns)
    : workgroupTile(rows, columns, places);
  const name = `${problem.name}_${subgroup ? "subgroup" : "tile"}_${tile.rows}x${tile.columns}`;
  const source = cachedKernel(name, () => subgroup ? gemmSubgroup(problem, tile) : gemmTile(problem, tile));
  return { source, tile };
}

/** Workgroups along x, y, z. */
export function gemmGrid(
  { tile }: GemmKernel,
  rows: number,
  columns: number,
  places: number,
): [number, number, number] {
  return [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns), places];
}

/**
 * Few rows waste most of a tall tile, and few columns most of a wide one. Taller tiles overflow the instruction cache, wider
 * ones spill more. A product of few rows is over soon whatever its columns: its narrow layouts would only be more to compile.
 */
function subgroupTile(rows: number, columns: number): GemmTile {
  const tall = rows > 32;
  const width = !tall || columns > 16 ? 4 : columns > 8 ? 2 : 1;
  return { rows: tall ? 32 : 16, columns: width * SUBGROUP_LANES, width };
}

/** A GPU wants a few hundred workgroups before it wants large tiles. */
function workgroupTile(rows: number, columns: number, places: number): GemmTile {
  const large = Math.ceil(rows / 64) * Math.ceil(columns / 64) * places;
  return columns > 32 && large >= 128
    ? { rows: 64, columns: 64, width: 4 }
    : { rows: 32, columns: 32, width: 4 };
}

/** Quads that hold `count` elements. */
export function quads(count: number): number {
  return Math.ceil(count / 4);
}
