/**
 * Selects tile layouts of matrix products for a device, and caches the generated kernels.
 *
 * @module
 */
import { gemmMatrix } from "./gemm_matrix.ts";
import type { MatrixLayout } from "./gemm_matrix_tile.ts";
import { allMatrixLayouts, matrixLayoutName, matrixLayouts } from "./gemm_matrix_layouts.ts";
import { gemmSubgroup, SUBGROUP_LANES } from "./gemm_subgroup.ts";
import { TILE_LAYOUTS, tileLayouts, tileName } from "./gemm_layouts.ts";
import { gemmTile, type TileLayout } from "./gemm_tile.ts";
import type { GemmProblem, GemmSize, GemmTile } from "./gemm_problem.ts";
import { type KernelSource, parseKernel } from "../source.ts";
import { choose, type KernelTarget, unitsOfProducts } from "../target.ts";

export type { GemmSize } from "./gemm_problem.ts";

/** Generated kernel (entry point `main`) and the tile of a workgroup: grid x counts rows, y columns, z is `place`. */
export interface GemmKernel {
  readonly source: KernelSource;
  readonly tile: GemmTile;
}

const cache = new Map<string, KernelSource>();

/**
 * Kernel source, generated on first use; the same variant is always the same object.
 *
 * @param variant distinguishes variants of the same name
 */
export function cachedKernel(name: string, code: () => string, variant = ""): KernelSource {
  const key = `${name} ${variant}`;
  let source = cache.get(key);
  if (!source) cache.set(key, source = parseKernel(name, code()));
  return source;
}

/** Layout, with its name in tuning choices. */
interface Layout {
  readonly name: string;
  /** Distinguishes variants of the same name for different devices. */
  readonly variant?: string;
  readonly tile: GemmTile;
  readonly code: (problem: GemmProblem) => string;
}

/**
 * Selects the kernel of a product on a target, which may choose any of its layouts by name.
 * @throws {RangeError} if it chooses another
 */
export function gemmKernel(target: KernelTarget, problem: GemmProblem, size: GemmSize): GemmKernel {
  const { half = false } = target;
  const { candidates, others } = layoutsOf(target, problem, size, half);
  const { rows, columns, depth, turn, places } = size;
  const key = `${problem.name} ${rows}x${columns}x${depth} ${turn} ${places}`;
  const names = (layouts: readonly Layout[]) => layouts.map(({ name }) => name);
  const chosen = choose(target, key, names(candidates), () => names(others()));
  const isChosen = ({ name }: Layout) => name === chosen;
  const { name, variant, tile, code } = candidates.find(isChosen) ?? others().find(isChosen)!;
  const kernel = `${problem.name}${half ? "_half" : ""}_${name}`;
  return { source: cachedKernel(kernel, () => code(problem), variant), tile };
}

/** Candidate layouts of a product, and all others of the target. */
function layoutsOf(target: KernelTarget, problem: GemmProblem, size: GemmSize, half: boolean) {
  const units = unitsOfProducts(target);
  if (units) {
    return {
      candidates: matrixLayouts(units, target.workgroupBytes, size).map(matrixLayout),
      others: () => allMatrixLayouts(units, target.workgroupBytes).map(matrixLayout),
    };
  }
  const subgroup = target.path === "subgroup" && target.subgroupSize === SUBGROUP_LANES;
  return {
    candidates: subgroup
      ? [subgroupLayout(problem, size, half)]
      : tileLayouts(problem, size).map((tile) => tileLayout(tile, half)),
    others: () => TILE_LAYOUTS.map((tile) => tileLayout(tile, half)),
  };
}

/**
 * Workgroups that occupy a device: a few per core of a CPU; on a large GPU eight per multiprocessor, as many 64 x 64 tiles as
 * its registers hold.
 */
const ENOUGH_GROUPS: Readonly<Record<KernelTarget["path"], number>> = { subgroup: 16, tile: 1024 };

/** Parts into which a sum must be divided to occupy a device with `places` results of the same size. */
export function occupyingParts(
  { path }: KernelTarget,
  { rows, columns, places }: Pick<GemmSize, "rows" | "columns" | "places">,
): number {
  const tiles = (count: number) => Math.ceil(count / (path === "tile" && count > 32 ? 64 : 32));
  return Math.ceil(ENOUGH_GROUPS[path] / (places * tiles(rows) * tiles(columns)));
}

/** Workgroups along x, y, z. */
export function gemmGrid(
  { tile }: GemmKernel,
  { rows, columns, places }: GemmSize,
): [number, number, number] {
  return [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns), places];
}

/**
 * Small products use small tiles, since few rows or columns waste most of a large one. Taller tiles overflow the instruction
 * cache, wider ones spill registers. Products of few rows are fast in any layout, so they have no narrow ones to compile.
 */
function subgroupLayout(
  { wideOnly, oneLayout = false }: GemmProblem,
  { rows, columns }: GemmSize,
  half: boolean,
): Layout {
  const tall = oneLayout || rows > 32;
  const width = wideOnly || oneLayout || !tall || columns > 16 ? 4 : columns > 8 ? 2 : 1;
  const tile: GemmTile = { rows: tall ? 32 : 16, columns: width * SUBGROUP_LANES, width };
  return {
    name: `subgroup_${tile.rows}x${tile.columns}`,
    tile,
    code: (problem) => gemmSubgroup(problem, tile, half),
  };
}

function tileLayout(tile: TileLayout, half: boolean): Layout {
  return { name: tileName(tile), tile, code: (problem) => gemmTile(problem, tile, half) };
}

function matrixLayout(layout: MatrixLayout): Layout {
  return {
    name: matrixLayoutName(layout),
    variant: JSON.stringify([layout.units, layout.shape]),
    tile: layout,
    code: (problem) => gemmMatrix(problem, layout),
  };
}

/** Number of quads (groups of 4) that hold `count` elements. */
export function quads(count: number): number {
  return Math.ceil(count / 4);
}
