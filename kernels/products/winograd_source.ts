/**
 * WGSL of the transforms of Winograd convolutions F(m x m, 3 x 3) (Lavin & Gray 2016, arXiv 1509.09308), forward; see
 * winograd_gradients_source.ts for the gradients.
 *
 * An image is divided into tiles of m x m outputs (m = 4), each computed from (m + 2) x (m + 2) inputs. Tiles and kernels are
 * evaluated as polynomials at m + 2 points along each axis, where a convolution is P = (m + 2)^2 elementwise products, each
 * summed over channels:
 *
 *   y = A^T [sum over i of (G w G^T) (B^T x B)] A
 *
 * Transformed values are [P][row][channel], so the sums are P matrix products; images are [N, H, W, Cp], weights
 * [3, 3, Ip, Op]. An invocation transforms one or two channels of a tile (or as many kernels), its neighbours the next
 * ones. All arithmetic is float32, and all outputs are written with `=`.
 *
 * @module
 */
import { range } from "../range.ts";
import type { ItemKernel } from "./items.ts";
import {
  fromPoints,
  MATRICES,
  multiplyBothSides,
  POINT_SIDE,
  TILE_SIDE,
  toPoints,
} from "./winograd_matrices.ts";

/** All pairs of indices below a side. */
export function grid(side: number): [number, number][] {
  return range(side).flatMap((i) => range(side).map((j): [number, number] => [i, j]));
}

/** Transform names, used in kernel names. */
export type WinogradTransform = keyof typeof TRANSFORM_WIDTHS;

/**
 * Channels (or weights) per invocation. Two make loads cheaper on llvmpipe, but pipelines of dozens of loads and stores slower to
 * compile: worth it only in the forward pass. Four compile for 2 s more in either transform there, and are no faster in a step.
 */
export const TRANSFORM_WIDTHS = {
  input: 2,
  output: 2,
  output_gradient: 1,
  input_gradient: 1,
  weight_gradient: 1,
} as const;

/** Type of the channels of an invocation. */
export function channelsOf(which: WinogradTransform): string {
  return `alias Channels = ${{ 1: "f32", 2: "vec2f" }[TRANSFORM_WIDTHS[which]]};`;
}

/** Channels per workgroup of 64: invocations along x have neighbouring channels, along y neighbouring rows. */
export const GROUP_CHANNELS = 32;

/** Entry point of a transform with an invocation per tile and channels. */
export const overRows = (which: WinogradTransform) => {
  const x = GROUP_CHANNELS / TRANSFORM_WIDTHS[which];
  return `
@compute @workgroup_size(${x}, ${64 / x})
fn main(@builtin(global_invocation_id) id: vec3u) {`;
};

/** Entry point of a transform with an invocation per kernel. */
export const OVER_WEIGHTS = `
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let id = (group.y * groups.x + group.x) * 64u + thread;`;

/** Parameters of a transform over tiles. */
export const OVER_TILES = `
struct Params {
  height: u32, width: u32,
  channels: u32,               // in units of Channels, here and below
  tiles_y: u32, tiles_x: u32,  // tiles per image
  first: u32, last: u32,       // tiles; rows from last on are zero
  rows: u32,
  has_bias: u32, has_row_bias: u32, has_addend: u32,
  row_bias_first: u32, row_bias_row: u32,
  relu: u32,                   // output: 1 for max(y, 0)
  padding: u32,                // input: zeros before the first row and column
}
@group(0) @binding(0) var<uniform> params: Params;

// Image of a tile, and its first row and column of pixels.
fn tile_at(index: u32) -> vec3u {
  let line = index / params.tiles_x;
  let image = line / params.tiles_y;
  return vec3u(image, ${TILE_SIDE}u * (line - image * params.tiles_y), ${TILE_SIDE}u * (index - line * params.tiles_x));
}`;

/**
 * WGSL statements that load the pixels of a tile to variables `<name><i>_<j>`, zero outside of the image. They read `corner`, the image and
 * the first row and column of its output pixels, `inside`, false for no tile at all, and `channel`.
 *
 * @param border WGSL: pixels before the first output pixel
 */
export function loadTile(side: number, border: string, name = "in"): string {
  const axis = (i: number) =>
    `${lineAddress(i, border)}\n  ${columnAddress(i, `corner.z + ${i}u - ${border}`)}`;
  return `// Coordinates before the first wrap around to beyond the last.
  ${range(side).map(axis).join("\n  ")}
  ${grid(side).map(([i, j]) => loadPixel(i, j, name)).join("\n  ")}`;
}

/** WGSL statements that address line i of a tile; see {@linkcode loadTile}. */
export function lineAddress(i: number, border: string): string {
  return `let y${i} = corner.y + ${i}u - ${border};
  let y${i}_ok = inside & (y${i} < params.height);
  let line${i} = (corner.x * params.height + y${i}) * params.width * params.channels;`;
}

/** WGSL statements that address column j of a tile, which is column `x` of the image. */
export function columnAddress(j: number, x: string): string {
  return `let x${j} = ${x};
  let x${j}_ok = x${j} < params.width;
  let column${j} = x${j} * params.channels + channel;`;
}

/** WGSL statements that load pixel i, j of a tile, zero outside of the image. */
export function loadPixel(i: number, j: number, name = "in"): string {
  return `let ok${i}_${j} = y${i}_ok & x${j}_ok;
  let ${name}${i}_${j} = select(Channels(), image[select(0u, line${i} + column${j}, ok${i}_${j})], ok${i}_${j});`;
}

/** Pixels of a tile of an upsampled image, from a tile of the small one: half as many a side, and a border on each. */
const UPSAMPLED_TILE = `let corner = vec3u(large.x, large.yz / 2u);
  ${loadTile(TILE_SIDE / 2 + 2, "1u", "small")}
  ${
  grid(POINT_SIDE).map(([i, j]) => `let in${i}_${j} = small${(i + 1) >> 1}_${(j + 1) >> 1};`).join("\n  ")
}`;

/** WGSL of the transform of an image up to its loads. `corner` names the tile's image and first output pixel. */
export function inputDeclarations(corner: string): string {
  return `${channelsOf("input")}
${OVER_TILES}
@group(0) @binding(1) var<storage, read> image: array<Channels>;
@group(0) @binding(2) var<storage, read_write> transformed: array<Channels>;
${overRows("input")}
  if (id.x >= params.channels || id.y >= params.rows) { return; }
  let channel = id.x;
  let ${corner} = tile_at(params.first + id.y);
  let inside = params.first + id.y < params.last;`;
}

/**
 * Transform of an image to rows of tiles: B^T x B of a tile's input pixels.
 *
 * @param upsampled the image is upsampled by two first; `Params` has the size of the small one
 */
export function inputTransform(upsampled: boolean): string {
  return `${inputDeclarations(upsampled ? "large" : "corner")}
  ${upsampled ? UPSAMPLED_TILE : loadTile(POINT_SIDE, "params.padding")}
  var at = id.y * params.channels + id.x;
  let stride = params.rows * params.channels;
  ${multiplyBothSides(toPoints, MATRICES.inputs, (i, j) => `transformed[at] = out${i}_${j}; at += stride;`)}
}`;
}

/** WGSL function that stores channels of a pixel inside the image, plus an addend. */
export const STORE_FUNCTION = `fn store(inside: bool, at: u32, value: Channels) {
  if (!inside) { return; }
  var sum = value;
  if (params.has_addend != 0u) { sum += addend[at]; }
  if (params.relu != 0u) { sum = max(sum, Channels()); }
  image[at] = sum;
}`;

/** WGSL statements that address the output pixels of the tile at `corner`: `line<i>` + `column<j>`. */
export const PIXEL_ADDRESSES = `let line_stride = params.width * params.channels;
  let line0 = (corner.x * params.height + corner.y) * line_stride;
  let column0 = corner.z * params.channels + id.x;
  ${
  range(TILE_SIDE - 1).map((i) =>
    `let line${i + 1} = line${i} + line_stride;\n  let column${i + 1} = column${i} + params.channels;`
  ).join("\n  ")
}`;

/** WGSL statement that stores output pixel i, j of the tile, `out<i>_<j>`, plus `added`. */
export function storePixel(i: number, j: number, added?: string): string {
  return `store((corner.y + ${i}u < params.height) & (corner.z + ${j}u < params.width), line${i} + column${j}, out${i}_${j}${
    added ? ` + ${added}` : ""
  });`;
}

/** WGSL statements that add up the biases of an invocation's channels, `biases`. */
export const BIASES = `var biases = Channels();
  if (params.has_bias != 0u) { biases += bias[id.x]; }
  if (params.has_row_bias != 0u) { biases += row_bias[corner.x * params.row_bias_row + params.row_bias_first + id.x]; }`;

/** WGSL of the transform of rows of tiles to an image up to its loads. */
export function outputDeclarations(): string {
  return `${channelsOf("output")}
${OVER_TILES}
@group(0) @binding(1) var<storage, read> products: array<Channels>;
@group(0) @binding(2) var<storage, read> bias: array<Channels>;
@group(0) @binding(3) var<storage, read> row_bias: array<Channels>;
@group(0) @binding(4) var<storage, read> addend: array<Channels>;
@group(0) @binding(5) var<storage, read_write> image: array<Channels>;

${STORE_FUNCTION}
${overRows("output")}
  if (id.x >= params.channels || id.y >= params.rows) { return; }
  let corner = tile_at(params.first + id.y);
  var at = id.y * params.channels + id.x;
  let stride = params.rows * params.channels;`;
}

/** Transform of rows of tiles to an image: A^T m A, plus biases and addend. */
export function outputTransform(): string {
  const load = ([i, j]: [number, number]) => `let in${i}_${j} = products[at]; at += stride;`;
  return `${outputDeclarations()}
  ${grid(POINT_SIDE).map(load).join("\n  ")}
  ${BIASES}
  ${PIXEL_ADDRESSES}
  ${multiplyBothSides(fromPoints, MATRICES.outputs, (i, j) => storePixel(i, j, "biases"))}
}`;
}

/** G w G^T, a kernel per item. */
export const WEIGHT_TRANSFORM: ItemKernel = {
  ...{ name: "winograd4_weight", element: "f32", source: "weight", result: "transformed" },
  body() {
    const load = ([i, j]: [number, number]) =>
      `let in${i}_${j} = weight[work.source + ${3 * i + j}u * work.items + id];`;
    const store = (i: number, j: number) => `transformed[at] = out${i}_${j}; at += work.items;`;
    return `var at = work.result + id;
  ${grid(3).map(load).join("\n  ")}
  ${multiplyBothSides(toPoints, MATRICES.weights, store)}`;
  },
};
