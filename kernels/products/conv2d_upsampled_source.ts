/**
 * WGSL of 3x3 convolutions of an image that is upsampled by two (nearest neighbour), without the upsampled image.
 *
 * An output pixel sees the same input pixel through one or two taps of an axis, whose weights can be added up first. So the
 * outputs 2i and 2i + 1 of an axis are two convolutions of two taps, and those of an image four 2x2 convolutions, with 4/9 of
 * the multiplications. For each axis, with phase p and tap t in {0, 1}:
 *
 *   v = [w2, w1 + w2, w0 + w1, w0]
 *   y[2i + p] = sum over t of x[i + p - 1 + t] v[3 - p - 2t]
 *
 * The gradient of x is the transpose, a 4x4 convolution of dy of stride 2; that of v has the same terms as y:
 *
 *   dx[i] = sum over t = 0 to 3 of dy[2i - 1 + t] v[t]
 *   dv[3 - p - 2t] = sum over i of x[i + p - 1 + t] dy[2i + p];   dw = [dv2 + dv3, dv1 + dv2, dv0 + dv1]
 *
 * x, dx [N, H, W, Ip], y, dy [N, 2H, 2W, Op], v [4, 4, Ip, Op] as stored; sums in float32, dw float32. All outputs are written
 * with `=`. In `Params`, `in` is the small image, and `place` of the products counts phases, 2 py + px.
 *
 * @module
 */
import { forwardOutput, PARAMS, pixelFunction, TAP, TAPS, windowRows } from "./conv2d_source.ts";
import { type GemmProblem, masked } from "./gemm_problem.ts";
import {
  combination,
  type Matrix,
  type Multiply,
  multiplyBothSides,
  transpose,
} from "./winograd_matrices.ts";
import { grid, OVER_WEIGHTS } from "./winograd_source.ts";

/** v of an axis from its three weights. */
const EXPANSION: Matrix = [[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]];

const termByTerm: Multiply = (matrix, values, out) =>
  matrix.map((coefficients, i) => `let ${out(i)} = ${combination(coefficients, values)};`);

/** v from the weights. An invocation has four columns. */
export function expandWeights(): string {
  return `alias Stored = f32;
alias Stored4 = vec4f;
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<Stored4>;
@group(0) @binding(2) var<storage, read_write> expanded: array<Stored4>;
${OVER_WEIGHTS}
  if (id >= params.count) { return; }
  ${
    grid(3).map(([i, j]) => `let in${i}_${j} = vec4f(weight[${3 * i + j}u * params.count + id]);`).join(
      "\n  ",
    )
  }
  ${
    multiplyBothSides(
      termByTerm,
      EXPANSION,
      (i, j) => `expanded[${4 * i + j}u * params.count + id] = Stored4(out${i}_${j});`,
    )
  }
}`;
}

const PHASE = "let phase_y = (place >> 1u) & 1u;\n  let phase_x = place & 1u;";

/** y = x * v + bias + row bias + residual, four 2x2 convolutions. */
export const UPSAMPLED_FORWARD: GemmProblem = {
  name: "conv2d_forward_upsampled",
  declarations: `${PARAMS}
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read> weight: array<StoredColumns>;
${forwardOutput("params.batch * params.sample_rows", "(row + (place >> 1u) * params.out_w + (place & 1u))")}
${pixelFunction("in")}
// Row of y in phase 0.
fn target_row(row: u32) -> u32 {
  let p = pixel(row);
  return select(0xffffffffu, (p.x * params.out_h + 2u * p.y) * params.out_w + 2u * p.z, row < params.rows);
}`,
  prologue: PHASE,
  loop: TAPS,
  turn: `${TAP}
  let expanded_tap = 4u * (3u - phase_y - 2u * ky) + 3u - phase_x - 2u * kx;`,
  rows: "params.rows",
  targetRows: true,
  depth: "params.in_c4",
  a: windowRows(
    "x",
    "pixel",
    "in",
    (at, tap, pad) => `${at} + ${tap === "ky" ? "phase_y" : "phase_x"} + ${tap} - ${pad}`,
  ),
  b: {
    along: "lines",
    setup: (s, line) => `let ${s}_column = min(${line}, params.columns - 1u);`,
    turn: (s) => `let ${s}_at = expanded_tap * 4u * params.in_c4 * params.columns + ${s}_column;`,
    load: (s, k) => `weight[${s}_at + (${k}) * params.columns]`,
  },
};

/** dv, and the column sums of dy. Place 4 s + phase of the grid writes part s of the sum. */
export const UPSAMPLED_WEIGHT_GRADIENT: GemmProblem = {
  name: "conv2d_backward_weight_upsampled",
  declarations: `${
    PARAMS.replace(
      "has_bias",
      "pixels: u32, turn_rows: u32, turn_pixels: u32, turns: u32, share: u32, reciprocal: u32, has_bias",
    )
  }
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read> dy: array<StoredColumns>;
@group(0) @binding(3) var<storage, read_write> out: array<Columns>;
@group(0) @binding(4) var<storage, read_write> sums_out: array<Columns>;

fn store(place: u32, row: u32, column: u32, value: Columns) {
  if (row >= params.rows || column >= params.columns) { return; }
  out[(place * params.rows + row) * params.columns + column] = value;
}
fn store_sums(place: u32, column: u32, value: Columns) {
  if (column >= params.columns) { return; }
  sums_out[place * params.columns + column] = value;
}
// Element of x at pixel \`k\` of a turn; coordinates before the image wrap around to beyond its end.
fn input_at(image: u32, first_y: u32, first_x: u32, c: u32, k: u32) -> Stored4 {
  let row = (k * params.reciprocal) >> 16u;
  let y = first_y + row;
  let x_at = first_x + k - row * params.in_w;
  let inside = (y < params.in_h) & (x_at < params.in_w);
  let at = select(0u, ((image * params.in_h + y) * params.in_w + x_at) * params.in_c4 + c, inside);
  return select(Stored4(), x[at], inside);
}
// Row of dy of pixel \`k\` of a turn.
fn output_row(image: u32, first_y: u32, phase_x: u32, k: u32) -> u32 {
  let row = (k * params.reciprocal) >> 16u;
  return (image * params.out_h + first_y + 2u * row) * params.out_w + 2u * (k - row * params.in_w) + phase_x;
}`,
  prologue: `${PHASE}
  let first = (place >> 2u) * params.share;
  let last = min(first + params.share, params.turns);`,
  loop: { counter: "turn", first: "first", end: "last" },
  turn: `let image_turns = params.in_h / params.turn_rows;
    let n = turn / image_turns;
    let turn_y = (turn - n * image_turns) * params.turn_rows;`,
  rows: "params.rows",
  depth: "(params.turn_pixels + 3u) / 4u",
  terms: "params.turn_pixels",
  a: {
    along: "lines",
    setup: (s, line) =>
      `let ${s}_line = min(${line}, params.rows / 4u - 1u);
  let ${s}_tap = ${s}_line / params.in_c4;
  let ${s}_c = ${s}_line - ${s}_tap * params.in_c4;
  let ${s}_y = ${s}_tap / params.window_w + phase_y - params.pad_top;
  let ${s}_x = ${s}_tap % params.window_w + phase_x - params.pad_left;`,
    turn: () => "",
    load: (s, k) => `input_at(n, turn_y + ${s}_y, ${s}_x, ${s}_c, ${k})`,
  },
  b: {
    along: "lines",
    setup: (s, line) => `let ${s}_column = min(${line}, params.columns - 1u);`,
    turn: () => "",
    load: (s, k, inside) => {
      const row = `output_row(n, 2u * turn_y + phase_y, phase_x, ${k})`;
      return masked("StoredColumns", `dy[${row} * params.columns + ${s}_column]`, inside);
    },
  },
  columnSums: true,
};

/** Adds the parts of dv in a fixed order, and writes dw. */
export function contractWeightGradient(): string {
  const taps = grid(2).flatMap(([phaseY, phaseX]) =>
    grid(2).map(([y, x]) => [3 - phaseY - 2 * y, 3 - phaseX - 2 * x] as const)
  );
  return `struct Params { count: u32, parts: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4f>;
${OVER_WEIGHTS}
  if (id >= params.count) { return; }
  var at = id;
  ${grid(4).map(([i, j]) => `var in${i}_${j} = vec4f();`).join("\n  ")}
  var part = 0u;
  loop {
    ${taps.map(([i, j]) => `in${i}_${j} += parts[at]; at += params.count;`).join("\n    ")}
    continuing { part++; break if part >= params.parts; }
  }
  ${
    multiplyBothSides(
      termByTerm,
      transpose(EXPANSION),
      (i, j) => `dw[${3 * i + j}u * params.count + id] = out${i}_${j};`,
    )
  }
}`;
}
