/**
 * Group normalisation for GPUs: entry points that keep the pixels of an invocation in registers between the sums over a group
 * and the result, for images that are small enough. Each tensor is read once, and all loads of an invocation are in flight
 * together; the loops of include/group_norm.wgsl read a tensor twice, and one larger than a GPU's cache from memory twice.
 *
 * Pixels are unrolled in the text, because a private array that is indexed in a loop may be placed in memory. Sums are reduced
 * over pixels in order, over rows by a tree, then over the channels of a group. The variance sums squared differences from
 * the mean; as in the loops, differences from a pixel's value keep the mean exact if it is far from zero.
 *
 * @module
 */
import { cachedKernel } from "./products/gemm.ts";
import { range } from "./range.ts";
import type { KernelSource } from "./source.ts";

/** Largest number of pixels per invocation. */
export const MAX_HELD_PIXELS = 16;

/** Distance of the two vec4s of a call of dropout's generator. */
const PAIR = 512;

/**
 * True if invocations can have the pairs of pixels whose dropout masks share a call: those of a sample start at a whole call,
 * and so do those of a row.
 */
export function pairsMasks(spatial: number, columns: number, rows: number, pixels: number): boolean {
  const apart = PAIR / columns;
  return pixels % 2 === 0 && Number.isInteger(apart) && rows % apart === 0 &&
    spatial * columns % (2 * PAIR) === 0 && rows * pixels === spatial;
}

/**
 * Variant of a kernel that includes group_norm.wgsl, with entry points `forward_held` and `backward_held`.
 *
 * @param pixels pixels per invocation; `rows * pixels` must cover a sample
 */
export function heldKernel(base: KernelSource, pixels: number): KernelSource {
  return cachedKernel(`${base.name}_held${pixels}`, () => base.code + entryPoints(base, range(pixels)));
}

function entryPoints({ bindings, entryPoints, code }: KernelSource, pixels: readonly number[]): string {
  const lines = (line: (j: number) => string) => pixels.map(line).join("\n  ");
  const sum = (term: (j: number) => string) => pairwise(pixels.map(term));
  // Unconditional loads, clamped, can be issued together.
  const declare = lines((j) =>
    `let wanted${j} = held_pixel(place.row, ${j}u);
  let ok${j} = exact || (place.in_range && wanted${j} < params.spatial);
  let pixel${j} = select(min(wanted${j}, params.spatial - 1u), wanted${j}, exact);
  let i${j} = place.base + pixel${j} * params.columns;`
  );
  const loads = "x_second" in bindings ? loadsOfBoth(lines) : lines((j) => `let x${j} = vec4f(x[i${j}]);`);
  // Just before its use, so that few masks are live at once.
  const mask = (j: number) =>
    j % 2 === 1
      ? `let mask${j} = masks${j - 1}.b;`
      : j + 1 < pixels.length
      ? `let masks${j} = masks_of(i${j}, i${j + 1}); let mask${j} = masks${j}.a;`
      : `let mask${j} = mask_of(i${j});`;
  const forward = `
@compute @workgroup_size(lanes)
fn forward_held(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = held_place(workgroup_id, lane);
  let origin = first_values(place);
  ${declare}
  ${loads}
  ${lines((j) => `let d${j} = select(vec4f(), x${j} - origin, ok${j});`)}
  part_a[lane] = ${sum((j) => `d${j}`)};
  add_rows_a(lane, place.row);
  let count = f32(params.group_size * params.spatial);
  let shift = group_sum_a(place.start) / count;
  workgroupBarrier();
  ${lines((j) => `let c${j} = select(vec4f(), d${j} - shift, ok${j});`)}
  part_a[lane] = ${sum((j) => `c${j} * c${j}`)};
  add_rows_a(lane, place.row);
  let rstd = 1.0 / sqrt(group_sum_a(place.start) / count + params.eps);
  let scale = gamma[params.gamma_first + affine_of(place)] * rstd;
  let offset = beta[affine_of(place)];
  if (place.in_range && place.row == 0u) {
    store_stats(place, origin + shift, rstd, scale, offset);
  }
  ${lines((j) => `${mask(j)} if (ok${j}) { store_y(i${j}, c${j} * scale + offset, mask${j}); }`)}
}
`;
  const backward = `
@compute @workgroup_size(lanes)
fn backward_held(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = held_place(workgroup_id, lane);
  let channels = channels_of(place);
  let rstd = rstd_of(place);
  ${declare}
  ${loads}
  ${lines((j) => `let dy${j} = vec4f(dy[i${j}]);`)}
  ${lines((j) => `${mask(j)} let point${j} = held_point(x${j}, mask${j} * dy${j}, channels, ok${j});`)}
  part_a[lane] = ${sum((j) => `point${j}.dz`)};
  part_b[lane] = ${sum((j) => `point${j}.dz * point${j}.centred`)};
  add_rows_of_both(lane, place.row);
  if (lane < params.block) {
    store_sums(place, lane, part_a[lane], part_b[lane], channels.scale, rstd);
  }
  workgroupBarrier();
  let count = f32(params.group_size * params.spatial);
  let m1 = place.mask * group_sum_a(place.start) / count;
  let m2 = rstd * group_sum_b(place.start) / count;
  ${
    lines((j) =>
      `if (ok${j}) { store_dx(place, i${j}, pixel${j}, slope_of(point${j}, channels.scale, m1, m2)); }`
    )
  }
}
`;
  return helpers(code) + (entryPoints.includes("forward") ? forward : "") + backward;
}

/**
 * Loads of x from its two tensors: one branch, and nothing in it that waits for a load, so that all loads of an invocation can
 * still be issued together.
 */
function loadsOfBoth(lines: (line: (j: number) => string) => string): string {
  const from = (tensor: string, columns: string, column: string) =>
    `let columns = ${columns};
    let at = place.sample * params.spatial * columns + ${column};
    ${lines((j) => `stored${j} = ${tensor}[at + pixel${j} * columns];`)}`;
  return `${lines((j) => `var stored${j}: Stored4;`)}
  if (place.column < params.first_columns) {
    ${from("x", "params.first_columns", "place.column")}
  } else {
    ${from("x_second", "params.columns - params.first_columns", "place.column - params.first_columns")}
  }
  ${lines((j) => `let x${j} = vec4f(stored${j});`)}`;
}

/** Sum as a balanced tree, which rounds less than one after the other. */
function pairwise(terms: readonly string[]): string {
  if (terms.length <= 2) return terms.join(" + ");
  const half = terms.length >> 1;
  return `(${pairwise(terms.slice(0, half))}) + (${pairwise(terms.slice(half))})`;
}

const PIXELS = `
fn held_pixel(row: u32, j: u32) -> u32 {
  return row + j * params.rows;
}
`;

const PAIRED_PIXELS = `
// Rows have consecutive pixels up to the distance of a pair, so that j and j + 1, j even, are a pair.
fn held_pixel(row: u32, j: u32) -> u32 {
  if (!paired) {
    return row + j * params.rows;
  }
  let apart = ${PAIR}u / params.columns;
  let pair = row / apart + params.rows / apart * (j >> 1u);
  return row % apart + apart * (2u * pair + (j & 1u));
}
`;

/** Functions of the entry points. */
const helpers = (code: string) => `
// All invocations are in range, and have as many pixels as there are.
override exact: bool = false;

${code.includes("override paired") ? PAIRED_PIXELS : PIXELS}
// Work assignment, with a column that can be loaded even if the invocation is idle.
fn held_place(workgroup_id: vec3u, lane: u32) -> Place {
  var place = place_of(workgroup_id, lane);
  if (!exact) {
    let column = min(place.column, params.columns - 1u);
    place.base = place.base + column - place.column;
    place.column = column;
  }
  return place;
}

// Each channel's group: its first channel at the first pixel of the sample.
fn first_values(place: Place) -> vec4f {
  let channel = place.group * params.group_size;
  return vec4f(
    first_value(place, channel.x),
    first_value(place, channel.y),
    first_value(place, channel.z),
    first_value(place, channel.w),
  );
}

fn held_point(x: vec4f, dy: vec4f, channels: Channels, ok: bool) -> Point {
  let centred = x - channels.mean;
  let dz = dy * slope_at(channels.scale * centred + channels.offset);
  return Point(centred, select(vec4f(), dz, ok));
}

// Adds part_a over the rows of each column, in a tree; the sums are in the first row.
fn add_rows_a(lane: u32, row: u32) {
  workgroupBarrier();
  var left = params.rows;
  while (left > 1u) {
    let half = (left + 1u) / 2u;
    if (row + half < left) {
      part_a[lane] += part_a[lane + half * params.block];
    }
    left = half;
    workgroupBarrier();
  }
}

fn add_rows_of_both(lane: u32, row: u32) {
  workgroupBarrier();
  var left = params.rows;
  while (left > 1u) {
    let half = (left + 1u) / 2u;
    if (row + half < left) {
      part_a[lane] += part_a[lane + half * params.block];
      part_b[lane] += part_b[lane + half * params.block];
    }
    left = half;
    workgroupBarrier();
  }
}
`;
