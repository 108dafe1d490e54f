/**
 * The three products of a convolution as {@linkcode GemmProblem}s (implicit im2col: no patch is ever written to memory).
 *
 *   forward          y[p, o]      = sum over tap, i of x[p at tap, i] w[tap, i, o]      rows: output pixels
 *   backward_input   dx[p, i]     = sum over tap, o of dy[p from tap, o] w[tap, i, o]   rows: input pixels
 *   backward_weight  dw[tap i, o] = sum over p of x[p at tap, i] dy[p, o]               rows: taps x input channels
 *
 * Conditions are joined with `&`: `&&` becomes control flow, which costs a basic block in the innermost loop.
 * Activations [N, H, W, Cp] and weights [k, k, Ip, Op] are arrays of vec4f along channels. Everything accumulates in float32
 * and is written with `=`. `flat` is the 1x1 convolution of stride 1, which knows no images, only a list of pixels.
 *
 * @module
 */
import type { GemmProblem } from "./gemm_problem.ts";

const PARAMS = `
struct Params {
  rows: u32,         // of the product
  columns4: u32,     // of the product, quads
  in_h: u32, in_w: u32, in_c4: u32,
  out_h: u32, out_w: u32, out_c4: u32,
  size: u32,         // side of the window
  stride: u32,
  pad_top: u32, pad_left: u32,
  sample_rows: u32,  // forward: rows of one sample
  has_bias: u32, has_row_bias: u32, has_addend: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
`;

/** Loop over the taps of the window, row by row; the last two statements of a turn's head count on. */
const TAPS = "var next = vec2u(); for (var tap = 0u; tap < params.size * params.size; tap++)";
const TAP = `let ky = next.y;
  let kx = next.x;
  next.x++;
  if (next.x == params.size) { next = vec2u(0u, next.y + 1u); }`;

/**
 * Rows that are pixels of `tensor` [N, h, w, c4], and where each tap finds its element of the product.
 * @param grid prefix of the sizes of the image that the rows enumerate
 * @param image prefix of the sizes of the tensor that is read
 * @param source WGSL of `<slot>_iy` and `<slot>_ok`'s rule for a coordinate, given it, its tap and its padding
 */
function pixelRows(
  tensor: string,
  flat: boolean,
  grid: string,
  image: string,
  source: (coordinate: string, tap: string, pad: string) => { at: string; ok: string },
): GemmProblem["a"] {
  const width = `params.${image}_c4`;
  if (flat) {
    return {
      along: "k",
      setup: (slot, line) => `let ${slot}_at = min(${line}, params.rows - 1u) * ${width};`,
      turn: () => "",
      load: (slot, k) => `${tensor}[${slot}_at + ${k}]`,
    };
  }
  return {
    along: "k",
    setup: (s, line) =>
      `let ${s}_m = min(${line}, params.rows - 1u);
  let ${s}_line = ${s}_m / params.${grid}_w;
  let ${s}_x = ${s}_m - ${s}_line * params.${grid}_w;
  let ${s}_n = ${s}_line / params.${grid}_h;
  let ${s}_y = ${s}_line - ${s}_n * params.${grid}_h;`,
    turn: (s) => {
      const y = source(`${s}_y`, "ky", "params.pad_top");
      const x = source(`${s}_x`, "kx", "params.pad_left");
      return `let ${s}_iy = ${y.at};
    let ${s}_ix = ${x.at};
    let ${s}_ok = (${y.ok.replaceAll("@", `${s}_iy`)}) & (${x.ok.replaceAll("@", `${s}_ix`)}) &
      (${s}_iy < params.${image}_h) & (${s}_ix < params.${image}_w);
    let ${s}_at = select(0u, ((${s}_n * params.${image}_h + ${s}_iy) * params.${image}_w + ${s}_ix) * ${width}, ${s}_ok);`;
    },
    load: (s, k) => `select(vec4f(), ${tensor}[${s}_at + ${k}], ${s}_ok)`,
  };
}

/** y = x * w + bias + row bias + residual. */
export function forwardProblem(flat: boolean): GemmProblem {
  return {
    name: `conv2d_forward${flat ? "_flat" : ""}`,
    declarations: `${PARAMS}
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> row_bias: array<vec4f>;
@group(0) @binding(5) var<storage, read> residual: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;

fn store(place: u32, row: u32, column: u32, value: vec4f) {
  if (row >= params.rows || column >= params.columns4) { return; }
  let at = row * params.columns4 + column;
  var sum = value;
  if (params.has_bias != 0u) { sum += bias[column]; }
  if (params.has_row_bias != 0u) { sum += row_bias[row / params.sample_rows * params.columns4 + column]; }
  if (params.has_addend != 0u) { sum += residual[at]; }
  y[at] = sum;
}`,
    prologue: "",
    loop: flat ? "" : TAPS,
    turn: flat ? "" : TAP,
    rows: "params.rows",
    depth: "params.in_c4",
    // Padding makes the coordinate wrap below zero, and then it is not below the image's size either.
    a: pixelRows("x", flat, "out", "in", (coordinate, tap, pad) => ({
      at: `${coordinate} * params.stride + ${tap} - ${pad}`,
      ok: "true",
    })),
    b: {
      along: "lines",
      setup: (s, line) => `let ${s}_column = min(${line}, params.columns4 - 1u);`,
      turn: (s) => `let ${s}_at = ${flat ? "" : "tap * 4u * params.in_c4 * params.out_c4 + "}${s}_column;`,
      load: (s, k) => `weight[${s}_at + (${k}) * params.out_c4]`,
    },
  };
}

/** dx = dy * w^T + addend. */
export function inputGradientProblem(flat: boolean): GemmProblem {
  return {
    name: `conv2d_backward_input${flat ? "_flat" : ""}`,
    declarations: `${PARAMS}
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> addend: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> dx: array<vec4f>;

fn store(place: u32, row: u32, column: u32, value: vec4f) {
  if (row >= params.rows || column >= params.columns4) { return; }
  let at = row * params.columns4 + column;
  var sum = value;
  if (params.has_addend != 0u) { sum += addend[at]; }
  dx[at] = sum;
}`,
    prologue: "",
    loop: flat ? "" : TAPS,
    turn: flat ? "" : TAP,
    rows: "params.rows",
    depth: "params.out_c4",
    // Stride 2 reaches only every other input pixel through a tap.
    a: pixelRows("dy", flat, "in", "out", (coordinate, tap, pad) => ({
      at: `(${coordinate} + ${pad} - ${tap}) / params.stride`,
      ok: `@ * params.stride == ${coordinate} + ${pad} - ${tap}`,
    })),
    b: {
      along: "k",
      setup: (s, line) => `let ${s}_column = min(${line}, 4u * params.columns4 - 1u);`,
      turn: (s) => `let ${s}_at = (${flat ? "" : "tap * 4u * params.in_c4 + "}${s}_column) * params.out_c4;`,
      load: (s, k) => `weight[${s}_at + ${k}]`,
    },
  };
}

/**
 * dw = x^T * dy, and the sums of dy. k runs along the output's rows of pixels (`flat`: along pieces of `out_w` pixels of the
 * list); place `s` of the grid takes the s-th share of them and writes to part s of `out`: [rows * columns4] quads of dw, then
 * [columns4] of sums. With `direct` there is one part, and the sums go to their own buffer.
 */
export function weightGradientProblem(flat: boolean): GemmProblem {
  const pixel = (k: string) => `turn * params.out_w + ${k}`;
  const inside = (k: string) => `(${k} < params.out_w) & (${pixel(k)} < params.pixels)`;
  return {
    name: `conv2d_backward_weight${flat ? "_flat" : ""}`,
    declarations: `${PARAMS.replace("has_bias", "pixels: u32, lines: u32, share: u32, direct: u32, has_bias")}
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> sums_out: array<vec4f>;

fn store(place: u32, row: u32, column: u32, value: vec4f) {
  if (row >= params.rows || column >= params.columns4) { return; }
  out[(place * (params.rows + 1u) + row) * params.columns4 + column] = value;
}
fn store_sums(place: u32, column: u32, value: vec4f) {
  if (params.has_bias == 0u || column >= params.columns4) { return; }
  if (params.direct != 0u) {
    sums_out[column] = value;
  } else {
    out[(place * (params.rows + 1u) + params.rows) * params.columns4 + column] = value;
  }
}`,
    prologue: `let first = place * params.share;
  let last = min(first + params.share, params.lines);`,
    loop: "for (var turn = first; turn < last; turn++)",
    turn: flat ? "" : "let n = turn / params.out_h;\n let oy = turn - n * params.out_h;",
    rows: "params.rows",
    depth: "(params.out_w + 3u) / 4u",
    a: {
      along: "lines",
      setup: (s, line) =>
        `let ${s}_line = min(${line}, params.rows / 4u - 1u);
  let ${s}_tap = ${s}_line / params.in_c4;
  let ${s}_c = ${s}_line - ${s}_tap * params.in_c4;
  let ${s}_ky = ${s}_tap / params.size;
  let ${s}_kx = ${s}_tap - ${s}_ky * params.size - params.pad_left;`,
      turn: (s) =>
        flat ? "" : `let ${s}_iy = oy * params.stride + ${s}_ky - params.pad_top;
    let ${s}_row_ok = ${s}_iy < params.in_h;
    let ${s}_row = (n * params.in_h + ${s}_iy) * params.in_w;`,
      load: (s, k) =>
        flat
          ? `select(vec4f(), x[(${pixel(k)}) * params.in_c4 + ${s}_c], ${inside(k)})`
          : `select(vec4f(), x[(${s}_row + (${k}) * params.stride + ${s}_kx) * params.in_c4 + ${s}_c], ` +
            `${s}_row_ok & ${inside(k)} & ((${k}) * params.stride + ${s}_kx < params.in_w))`,
    },
    b: {
      along: "lines",
      setup: (s, line) => `let ${s}_column = min(${line}, params.columns4 - 1u);`,
      turn: () => "",
      load: (s, k) => `select(vec4f(), dy[(${pixel(k)}) * params.out_c4 + ${s}_column], ${inside(k)})`,
    },
    columnSums: true,
  };
}

/** Adds the parts of a split weight gradient in a fixed order. */
export function sumPartsSource(withSums: boolean): string {
  return `
struct Params { weights: u32, columns4: u32, parts: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4f>;
${withSums ? "@group(0) @binding(3) var<storage, read_write> db: array<vec4f>;" : ""}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let id = (group.y * groups.x + group.x) * 64u + thread;
  if (id >= params.weights${withSums ? " + params.columns4" : ""}) { return; }
  var sum = vec4f();
  for (var part = 0u; part < params.parts; part++) { sum += parts[part * (params.weights + params.columns4) + id]; }
  ${withSums ? "if (id >= params.weights) { db[id - params.weights] = sum; return; }" : ""}
  dw[id] = sum;
}`;
}
