/**
 * WGSL of the transforms of Winograd convolutions F(m x m, 3 x 3) (Lavin & Gray 2016, arXiv 1509.09308).
 *
 * An image is divided into tiles of m x m outputs, each computed from (m + 2) x (m + 2) inputs. Tiles and kernels are
 * evaluated as polynomials at m + 2 points along each axis, where a convolution is P = (m + 2)^2 elementwise products, each
 * summed over channels:
 *
 *   forward          y  = A^T [sum over i of (G w G^T) (B^T x B)] A
 *   backward_weight  dw = G^T [sum over tiles of (B^T x B) (A dy A^T)] G
 *
 * Transformed values are [P][row][channel], so the sums are P matrix products; images are [N, H, W, Cp], weights
 * [3, 3, Ip, Op]. An invocation transforms one or four channels of a tile (or as many kernels), its neighbours the next ones.
 * All arithmetic is float32, and all outputs are written with `=`.
 *
 * @module
 */
import { range } from "../range.ts";
import {
  fromPoints,
  multiplyBothSides,
  toPoints,
  transpose,
  winogradMatrices,
  type WinogradTile,
} from "./winograd_matrices.ts";

/** All pairs of indices below a side. */
function grid(side: number): [number, number][] {
  return range(side).flatMap((i) => range(side).map((j): [number, number] => [i, j]));
}

/** Transform names, used in kernel names. */
export type WinogradTransform = keyof typeof TRANSFORM_WIDTHS;

/**
 * Channels (or weights) per invocation. Four make loads cheaper on llvmpipe (23 to 40 % less time), but pipelines of dozens of
 * loads and stores slow to compile (1.3 s instead of 0.2): worth it only for the transforms with most loads.
 */
export const TRANSFORM_WIDTHS = {
  input: 4,
  output: 4,
  output_gradient: 1,
  pixel_sums: 1,
  weight: 1,
  weight_gradient: 1,
} as const;

const channelsOf = (which: WinogradTransform) =>
  `alias Channels = ${TRANSFORM_WIDTHS[which] === 4 ? "vec4f" : "f32"};`;

/** Channels per workgroup of 64: invocations along x have neighbouring channels, along y neighbouring rows. */
export const GROUP_CHANNELS = 32;

const overRows = (which: WinogradTransform) => {
  const x = GROUP_CHANNELS / TRANSFORM_WIDTHS[which];
  return `
@compute @workgroup_size(${x}, ${64 / x})
fn main(@builtin(global_invocation_id) id: vec3u) {`;
};

const OVER_WEIGHTS = `
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let id = (group.y * groups.x + group.x) * 64u + thread;`;

const tiles = (tile: WinogradTile) => `
struct Params {
  height: u32, width: u32,
  channels: u32,               // in units of Channels, here and below
  tiles_y: u32, tiles_x: u32,  // tiles per image
  first: u32, last: u32,       // tiles; rows from last on are zero
  rows: u32,
  has_bias: u32, has_row_bias: u32, has_addend: u32,
  row_bias_first: u32, row_bias_row: u32,
}
@group(0) @binding(0) var<uniform> params: Params;

// Image of a tile, and its first row and column of pixels.
fn tile_at(index: u32) -> vec3u {
  let line = index / params.tiles_x;
  let image = line / params.tiles_y;
  return vec3u(image, ${tile}u * (line - image * params.tiles_y), ${tile}u * (index - line * params.tiles_x));
}`;

/**
 * Transform of an image to rows of tiles: B^T x B of a tile's input pixels (`input`), or A dy A^T of its output pixels, with
 * their sum as an additional point (`output_gradient`).
 */
export function imageTransform(tile: WinogradTile, which: "input" | "output_gradient"): string {
  const { outputs, inputs } = winogradMatrices(tile);
  const [matrix, border] = which === "input" ? [inputs, 1] : [transpose(outputs), 0];
  const side = matrix[0].length;
  const axis = (i: number) =>
    `let y${i} = corner.y + ${i}u - ${border}u;
  let y${i}_ok = inside & (y${i} < params.height);
  let line${i} = (start + y${i}) * line_stride;
  let x${i} = corner.z + ${i}u - ${border}u;
  let x${i}_ok = x${i} < params.width;
  let column${i} = x${i} * params.channels + id.x;`;
  const load = ([i, j]: [number, number]) =>
    `let ok${i}_${j} = y${i}_ok & x${j}_ok;
  let in${i}_${j} = select(Channels(), image[select(0u, line${i} + column${j}, ok${i}_${j})], ok${i}_${j});`;
  const store = (value: string) => `transformed[at] = ${value}; at += stride;`;
  const sum = grid(side).map(([i, j]) => `in${i}_${j}`).join(" + ");
  return `${channelsOf(which)}
${tiles(tile)}
@group(0) @binding(1) var<storage, read> image: array<Channels>;
@group(0) @binding(2) var<storage, read_write> transformed: array<Channels>;
${overRows(which)}
  if (id.x >= params.channels || id.y >= params.rows) { return; }
  let corner = tile_at(params.first + id.y);
  let inside = params.first + id.y < params.last;
  let start = corner.x * params.height;
  let line_stride = params.width * params.channels;
  // Coordinates before the first wrap around to beyond the last.
  ${range(side).map(axis).join("\n  ")}
  ${grid(side).map(load).join("\n  ")}
  var at = id.y * params.channels + id.x;
  let stride = params.rows * params.channels;
  ${multiplyBothSides(toPoints, matrix, (i, j) => store(`out${i}_${j}`))}
  ${which === "output_gradient" ? store(sum) : ""}
}`;
}

/** Transform of rows of tiles to an image: A^T m A, plus biases and addend. */
export function outputTransform(tile: WinogradTile): string {
  const { outputs } = winogradMatrices(tile);
  const points = tile + 2;
  const load = ([i, j]: [number, number]) => `let in${i}_${j} = products[at]; at += stride;`;
  const store = (i: number, j: number) =>
    `store((corner.y + ${i}u < params.height) & (corner.z + ${j}u < params.width), line${i} + column${j}, out${i}_${j} + biases);`;
  return `${channelsOf("output")}
${tiles(tile)}
@group(0) @binding(1) var<storage, read> products: array<Channels>;
@group(0) @binding(2) var<storage, read> bias: array<Channels>;
@group(0) @binding(3) var<storage, read> row_bias: array<Channels>;
@group(0) @binding(4) var<storage, read> addend: array<Channels>;
@group(0) @binding(5) var<storage, read_write> image: array<Channels>;

fn store(inside: bool, at: u32, value: Channels) {
  if (!inside) { return; }
  var sum = value;
  if (params.has_addend != 0u) { sum += addend[at]; }
  image[at] = sum;
}
${overRows("output")}
  if (id.x >= params.channels || id.y >= params.rows) { return; }
  let corner = tile_at(params.first + id.y);
  var at = id.y * params.channels + id.x;
  let stride = params.rows * params.channels;
  ${grid(points).map(load).join("\n  ")}
  var biases = Channels();
  if (params.has_bias != 0u) { biases += bias[id.x]; }
  if (params.has_row_bias != 0u) { biases += row_bias[corner.x * params.row_bias_row + params.row_bias_first + id.x]; }
  let line_stride = params.width * params.channels;
  let line0 = (corner.x * params.height + corner.y) * line_stride;
  let column0 = corner.z * params.channels + id.x;
  ${
    range(tile - 1).map((i) =>
      `let line${i + 1} = line${i} + line_stride;\n  let column${i + 1} = column${i} + params.channels;`
    ).join("\n  ")
  }
  ${multiplyBothSides(fromPoints, outputs, store)}
}`;
}

/** G w G^T; with `turned`, of the kernel rotated by 180 degrees, for the input gradient. */
export function weightTransform(tile: WinogradTile): string {
  const { weights } = winogradMatrices(tile);
  const load = ([i, j]: [number, number]) =>
    `let in${i}_${j} = weight[select(${3 * i + j}u, ${8 - 3 * i - j}u, turned) * params.count + id];`;
  const store = (i: number, j: number) => `transformed[at] = out${i}_${j}; at += params.count;`;
  return `${channelsOf("weight")}
struct Params { count: u32, turned: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<Channels>;
@group(0) @binding(2) var<storage, read_write> transformed: array<Channels>;
${OVER_WEIGHTS}
  if (id >= params.count) { return; }
  let turned = params.turned != 0u;
  var at = id;
  ${grid(3).map(load).join("\n  ")}
  ${multiplyBothSides(toPoints, weights, store)}
}`;
}

/** Rows of tiles per invocation of {@linkcode pixelSums}. */
export const SUM_ROWS = 64;

/** Adds the sums of tiles in pieces of SUM_ROWS, stored after the pieces of earlier slices. */
export function pixelSums(tile: WinogradTile): string {
  return `${channelsOf("pixel_sums")}
struct Params { channels: u32, rows: u32, pieces: u32, first_piece: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> transformed: array<Channels>;
@group(0) @binding(2) var<storage, read_write> sums: array<Channels>;
${overRows("pixel_sums")}
  if (id.x >= params.channels || id.y >= params.pieces) { return; }
  let at = ${(tile + 2) ** 2}u * params.rows * params.channels + id.x;
  var row = id.y * ${SUM_ROWS}u;
  let end = min(row + ${SUM_ROWS}u, params.rows);
  var sum = Channels();
  loop {
    sum += transformed[at + row * params.channels];
    continuing { row++; break if row >= end; }
  }
  sums[(params.first_piece + id.y) * params.channels + id.x] = sum;
}`;
}

/** Adds the parts of a weight gradient, transformed by G^T . G, and the pieces of a bias gradient, in a fixed order. */
export function weightGradientTransform(tile: WinogradTile, withSums: boolean): string {
  const { weights } = winogradMatrices(tile);
  const points = tile + 2;
  const load = ([i, j]: [number, number]) => `in${i}_${j} += products[at]; at += params.count;`;
  const store = (i: number, j: number) => `dw[${3 * i + j}u * params.count + id] = out${i}_${j};`;
  const sums = `
@group(0) @binding(3) var<storage, read> sums: array<Channels>;
@group(0) @binding(4) var<storage, read_write> db: array<Channels>;

fn add_sums(channel: u32) {
  if (channel >= params.channels) { return; }
  var sum = Channels();
  for (var piece = 0u; piece < params.pieces; piece++) { sum += sums[piece * params.channels + channel]; }
  db[channel] = sum;
}`;
  return `${channelsOf("weight_gradient")}
struct Params { count: u32, parts: u32, channels: u32, pieces: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> products: array<Channels>;
@group(0) @binding(2) var<storage, read_write> dw: array<Channels>;
${withSums ? sums : ""}
${OVER_WEIGHTS}
  if (id >= params.count) {
    ${withSums ? "add_sums(id - params.count);" : ""}
    return;
  }
  var at = id;
  ${grid(points).map(([i, j]) => `var in${i}_${j} = Channels();`).join("\n  ")}
  var part = 0u;
  loop {
    ${grid(points).map(load).join("\n    ")}
    continuing { part++; break if part >= params.parts; }
  }
  ${multiplyBothSides(fromPoints, transpose(weights), store)}
}`;
}
