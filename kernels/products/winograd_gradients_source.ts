/**
 * WGSL of the transforms of the gradients of a Winograd convolution (see winograd_source.ts). The forward pass is linear in x
 * and in w, and its gradients are the transposed maps:
 *
 *   dw = G^T [sum over tiles of (B^T x B) (A dy A^T)] G
 *   dx = sum over tiles of B [sum over o of (G w G^T) (A dy A^T)] B^T
 *
 * Both begin with the same transform of dy, which is read once, and dx takes the transformed weights of the forward pass. (As a
 * convolution of dy with w rotated by 180 degrees, dx would need transforms of its own.) The terms of dx are tiles of
 * (m + 2) x (m + 2) pixels that overlap. A pixel on the edge of the m x m pixels in the middle of a tile gets a term of its
 * neighbours as well, see `INPUT_GRADIENT`.
 *
 * @module
 */
import { range } from "../range.ts";
import {
  fromNeighbours,
  fromPoints,
  INPUT_GRADIENT,
  MATRICES,
  multiplyBothSides,
  POINT_SIDE,
  TILE_SIDE,
  toPoints,
  transpose,
} from "./winograd_matrices.ts";
import {
  channelsOf,
  grid,
  GROUP_CHANNELS,
  loadTile,
  OVER_TILES,
  OVER_WEIGHTS,
  overRows,
  PIXEL_ADDRESSES,
  STORE_FUNCTION,
  storePixel,
  TRANSFORM_WIDTHS,
} from "./winograd_source.ts";

/**
 * Tiles that a workgroup of {@linkcode outputGradientTransform} transforms at a time. There are only as many workgroups as
 * images times blocks of channels, so each has 256 invocations, the most that WebGPU guarantees.
 */
export const GRADIENT_ROWS = 256 * TRANSFORM_WIDTHS.output_gradient / GROUP_CHANNELS;

/**
 * Transform of dy to rows of tiles, A dy A^T, and its sums over the pixels of each image, which are the terms of the gradient
 * of the bias, and, `withRowBias`, the gradient of a bias per sample. A workgroup transforms all tiles of an image, or of
 * several small ones, and adds their sums in a fixed order.
 */
export function outputGradientTransform(withRowBias: boolean): string {
  const columns = GROUP_CHANNELS / TRANSFORM_WIDTHS.output_gradient;
  const rows = GRADIENT_ROWS;
  const total = grid(TILE_SIDE).map(([i, j]) => `in${i}_${j}`).join(" + ");
  return `${channelsOf("output_gradient")}
struct Params {
  height: u32, width: u32,
  channels: u32,              // in units of Channels
  tiles_y: u32, tiles_x: u32, // tiles per image
  first: u32, last: u32,      // images; transforms of images from last on are zero
  images: u32,
  row_bias_first: u32, row_bias_row: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> image: array<Channels>;
@group(0) @binding(2) var<storage, read_write> transformed: array<Channels>;
@group(0) @binding(3) var<storage, read_write> sums: array<Channels>;
${withRowBias ? "@group(0) @binding(4) var<storage, read_write> row_bias: array<Channels>;" : ""}

var<workgroup> partial_sums: array<Channels, ${columns * rows}>;

@compute @workgroup_size(${columns}, ${rows})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let tiles = params.tiles_y * params.tiles_x;
  let lanes = min(tiles, ${rows}u); // invocations per image
  let lane = id.y % lanes;
  let index = group.y * (${rows}u / lanes) + id.y / lanes;
  let channel = group.x * ${columns}u + id.x;
  let inside = params.first + index < params.last;
  let used = (id.y < ${rows}u / lanes * lanes) & (index < params.images) & (channel < params.channels);
  let stride = params.images * tiles * params.channels;
  var sum = Channels();
  if (used) {
    var row = lane;
    loop {
      let y = row / params.tiles_x;
      let corner = vec3u(params.first + index, ${TILE_SIDE}u * y, ${TILE_SIDE}u * (row - y * params.tiles_x));
      ${loadTile(TILE_SIDE, "0u")}
      sum += ${total};
      var at = (index * tiles + row) * params.channels + channel;
      ${
    multiplyBothSides(
      toPoints,
      transpose(MATRICES.outputs),
      (i, j) => `transformed[at] = out${i}_${j}; at += stride;`,
    )
  }
      continuing { row += lanes; break if row >= tiles; }
    }
  }
  partial_sums[thread] = sum;
  workgroupBarrier();
  if (!(used & inside & (lane == 0u))) { return; }
  for (var i = 1u; i < lanes; i++) { sum += partial_sums[thread + i * ${columns}u]; }
  sums[(params.first + index) * params.channels + channel] = sum;
  ${
    withRowBias
      ? "row_bias[(params.first + index) * params.row_bias_row + params.row_bias_first + channel] = sum;"
      : ""
  }
}`;
}

/** Transform of rows of tiles to dx, plus an addend. */
export function inputGradientTransform(): string {
  const side = POINT_SIDE + 2;
  // Tile (before, own or after) and point of a value along an axis; the outermost values are those of neighbours.
  const sourceOf = (i: number) =>
    i === 0
      ? { of: "before", point: POINT_SIDE - 1 }
      : i === side - 1
      ? { of: "after", point: 0 }
      : { of: "own", point: i - 1 };
  const load = (i: number, j: number) => {
    const [y, x] = [sourceOf(i), sourceOf(j)];
    const tileOf = `${y.of}_${x.of}`;
    const value = `products[${tileOf} + ${y.point * POINT_SIDE + x.point}u * stride]`;
    return `let in${i}_${j} = ${
      tileOf === "own_own" ? value : `select(Channels(), ${value}, has_${tileOf})`
    };`;
  };
  const axis = ["before", "own", "after"];
  const neighbour = (y: string, x: string) => {
    const conditions = [...y === "own" ? [] : [`has_${y}_y`], ...x === "own" ? [] : [`has_${x}_x`]];
    return `let has_${y}_${x} = ${conditions.join(" & ")};
  let ${y}_${x} = select(own_own, own_own + ${y}_y + ${x}_x, has_${y}_${x});`;
  };
  const neighbours = axis.flatMap((y) =>
    axis.filter((x) => y !== "own" || x !== "own").map((x) => neighbour(y, x))
  );
  return `${channelsOf("input_gradient")}
${OVER_TILES}
@group(0) @binding(1) var<storage, read> products: array<Channels>;
@group(0) @binding(2) var<storage, read> addend: array<Channels>;
@group(0) @binding(3) var<storage, read_write> image: array<Channels>;

${STORE_FUNCTION}
${overRows("input_gradient")}
  if (id.x >= params.channels || id.y >= params.rows) { return; }
  let corner = tile_at(params.first + id.y);
  let stride = params.rows * params.channels;
  let own_own = id.y * params.channels + id.x;
  // Offsets to the neighbours, modulo 2^32.
  let own_y = 0u;
  let own_x = 0u;
  let after_y = params.tiles_x * params.channels;
  let after_x = params.channels;
  let before_y = 0u - after_y;
  let before_x = 0u - after_x;
  let has_before_y = corner.y > 0u;
  let has_before_x = corner.z > 0u;
  let has_after_y = corner.y + ${TILE_SIDE}u < params.height;
  let has_after_x = corner.z + ${TILE_SIDE}u < params.width;
  ${neighbours.join("\n  ")}
  ${PIXEL_ADDRESSES}
  ${
    // Column by column: all values together exceed the registers of an invocation.
    multiplyBothSides(
      fromNeighbours,
      INPUT_GRADIENT,
      storePixel,
      (j) => range(side).map((i) => load(i, j)).join("\n  "),
    )}
}`;
}

/** Adds the parts of a weight gradient, transformed by G^T . G, in a fixed order. */
export function weightGradientTransform(): string {
  const load = ([i, j]: [number, number]) => `in${i}_${j} += products[at]; at += params.count;`;
  const store = (i: number, j: number) => `dw[${3 * i + j}u * params.count + id] = out${i}_${j};`;
  return `${channelsOf("weight_gradient")}
struct Params { count: u32, parts: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> products: array<Channels>;
@group(0) @binding(2) var<storage, read_write> dw: array<Channels>;
${OVER_WEIGHTS}
  if (id >= params.count) { return; }
  var at = id;
  ${grid(POINT_SIDE).map(([i, j]) => `var in${i}_${j} = Channels();`).join("\n  ")}
  var part = 0u;
  loop {
    ${grid(POINT_SIDE).map(load).join("\n    ")}
    continuing { part++; break if part >= params.parts; }
  }
  ${multiplyBothSides(fromPoints, transpose(MATRICES.weights), store)}
}`;
}
