/**
 * Picks layout and tile of a product for a device, and keeps the generated kernels.
 *
 * @module
 */
import { gemmSubgroup } from "./gemm_subgroup.ts";
import { gemmTile } from "./gemm_tile.ts";
import type { GemmProblem, GemmTile } from "./gemm_problem.ts";
import { type KernelSource, parseKernel } from "./source.ts";
import { choose, type KernelTarget } from "./target.ts";

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

/** Size of a product. */
export interface GemmSize {
  readonly rows: number;
  readonly columns: number;
  /** Products in a sum; only roughly where that differs between places. */
  readonly depth: number;
  /** How many such products the grid holds (batches, splits): few tiles in all ask for small ones. */
  readonly places: number;
}

/** A layout by the name that choices are kept under. */
interface Layout {
  readonly name: string;
  readonly tile: GemmTile;
  readonly code: (problem: GemmProblem, tile: GemmTile) => string;
}

const layout = (path: string, code: Layout["code"], tile: GemmTile): Layout => ({
  name: `${path}_${tile.rows}x${tile.columns}`,
  tile,
  code,
});

/** The kernel for a product on a target. */
export function gemmKernel(target: KernelTarget, problem: GemmProblem, size: GemmSize): GemmKernel {
  const subgroup = target.path === "subgroup" && target.subgroupSize === SUBGROUP_LANES;
  const layouts = subgroup ? subgroupLayouts(problem, size) : tileLayouts(size);
  const key = `${problem.name} ${size.rows}x${size.columns}x${size.depth} ${size.places}`;
  const name = choose(target, key, layouts.map(({ name }) => name));
  const { tile, code } = layouts.find((layout) => layout.name === name)!;
  return { source: cachedKernel(`${problem.name}_${name}`, () => code(problem, tile)), tile };
}

/** Workgroups along x, y, z. */
export function gemmGrid(
  { tile }: GemmKernel,
  { rows, columns, places }: GemmSize,
): [number, number, number] {
  return [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns), places];
}

/**
 * Few rows waste most of a tall tile, and few columns most of a wide one. Taller tiles overflow the instruction cache, wider
 * ones spill more. A product of few rows is over soon whatever its columns: its narrow layouts would only be more to compile.
 */
function subgroupLayouts({ wideOnly }: GemmProblem, { rows, columns }: GemmSize): Layout[] {
  const tall = rows > 32;
  const width = wideOnly || !tall || columns > 16 ? 4 : columns > 8 ? 2 : 1;
  return [
    layout("subgroup", gemmSubgroup, { rows: tall ? 32 : 16, columns: width * SUBGROUP_LANES, width }),
  ];
}

/** A GPU wants a few hundred workgroups before it wants large tiles. */
function tileLayouts({ rows, columns, places }: GemmSize): Layout[] {
  const large = Math.ceil(rows / 64) * Math.ceil(columns / 64) * places;
  const side = columns > 32 && large >= 128 ? 64 : 32;
  return [layout("tile", gemmTile, { rows: side, columns: side, width: 4 })];
}

/** Quads that hold `count` elements. */
export function quads(count: number): number {
  return Math.ceil(count / 4);
}
