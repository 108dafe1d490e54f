/**
 * WGSL of the weight gradient of a convolution as a {@linkcode GemmProblem}, and of the sum of its parts; see conv2d_source.ts for
 * the other products.
 *
 *   backward_weight  dw[tap i, o] = sum over p of x[p at tap, i] dy[p, o]               rows: taps x input channels
 *
 * Activations are as stored; sums and weight gradients are float32. All outputs are written with `=`.
 *
 * @module
 */
import { JOINED_PARAMS, PARAMS, SECOND_INPUT } from "./conv2d_source.ts";
import { range } from "../range.ts";
import { type GemmOperand, type GemmProblem, masked } from "./gemm_problem.ts";
import type { ItemKernel } from "./items.ts";

/**
 * Pixels in the sum of a weight gradient. A turn of the outer loop is one row of output pixels (`row`), several rows of an
 * image that fill the stages of layouts for GPUs (`rows`), or as many pixels of a 1x1 convolution as a part has (`flat`;
 * `joined`: of a concatenation that is not stored).
 */
export type WeightGradientForm = "flat" | "joined" | "row" | "rows";

/** Addressing of x in a weight gradient: variables of a turn, and the element at pixel `k` of it. */
const INPUTS: Readonly<Record<WeightGradientForm, Pick<GemmOperand, "turn" | "load" | "second">>> = {
  flat: {
    turn: () => "",
    load: (s, k) => `x[(first_pixel + (${k})) * params.in_c4 + ${s}_c]`,
  },
  joined: {
    turn: () => "",
    // What is past the last pixel counts for nothing, since dy is zero there.
    load: (s, k) => `x[(first_pixel + ${k}) * params.first_c4 + ${s}_c]`,
    second: {
      when: (s) => `${s}_c >= params.first_c4`,
      load: (s, k) =>
        `x_second[(first_pixel + ${k}) * (params.in_c4 - params.first_c4) + ${s}_c - params.first_c4]`,
    },
  },
  row: {
    turn: (s) =>
      `let ${s}_iy = oy * params.stride + ${s}_ky - params.pad_top;
    let ${s}_row_ok = ${s}_iy < params.in_h;
    let ${s}_row = (n * params.in_h + ${s}_iy) * params.in_w;`,
    load: (s, k) => `input_at(${s}_row, ${s}_row_ok, ${s}_kx, ${s}_c, ${k})`,
  },
  rows: {
    turn: (s) => `let ${s}_iy = oy * params.stride + ${s}_ky - params.pad_top;`,
    load: (s, k) => `input_at(n * params.in_h, ${s}_iy, ${s}_kx, ${s}_c, ${k})`,
  },
};

/** Element of x under output pixel `k` of a turn; `reciprocal` replaces a division by `out_w`. */
const INPUT_AT: Readonly<Record<WeightGradientForm, string>> = {
  flat: "",
  joined: "",
  row: `
fn input_at(row: u32, row_ok: bool, first_x: u32, c: u32, k: u32) -> Stored4 {
  let ix = first_x + k * params.stride;
  let inside = row_ok & (ix < params.in_w);
  return select(Stored4(), x[select(0u, (row + ix) * params.in_c4 + c, inside)], inside);
}`,
  rows: `
fn input_at(image: u32, first_y: u32, first_x: u32, c: u32, k: u32) -> Stored4 {
  let row = (k * params.reciprocal) >> 16u;
  let iy = first_y + row * params.stride;
  let ix = first_x + (k - row * params.out_w) * params.stride;
  let inside = (iy < params.in_h) & (ix < params.in_w);
  let at = select(0u, ((image + iy) * params.in_w + ix) * params.in_c4 + c, inside);
  return select(Stored4(), x[at], inside);
}`,
};

/**
 * dw = x^T * dy, and the column sums of dy. k runs along output pixels, `turn_pixels` a turn; place `s` of the grid handles
 * the s-th share of turns and writes part s of `out`, [rows * columns] groups of dw, and of `sums_out`,
 * [columns] groups.
 */
export function weightGradientProblem(form: WeightGradientForm): GemmProblem {
  const joined = form === "joined";
  const flat = form === "flat" || joined;
  const fields = "pixels: u32, turn_rows: u32, turn_pixels: u32, turns: u32, share: u32, reciprocal: u32";
  const pixels = flat ? "min(params.turn_pixels, params.pixels - first_pixel)" : "params.turn_pixels";
  return {
    name: `conv2d_backward_weight${form === "row" ? "" : `_${form}`}`,
    declarations: `${(joined ? JOINED_PARAMS : PARAMS).replace("has_bias", `${fields}, has_bias`)}${
      joined ? SECOND_INPUT : ""
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
${INPUT_AT[form]}`,
    prologue: `let first = place * params.share;
  let last = min(first + params.share, params.turns);`,
    loop: { counter: "turn", first: "first", end: "last" },
    turn: `let first_pixel = turn * params.turn_pixels;
    let depth_pixels = ${pixels};
    ${
      flat ? "" : `let image_turns = params.out_h / params.turn_rows;
    let n = turn / image_turns;
    let oy = (turn - n * image_turns) * params.turn_rows;`
    }`,
    rows: "params.rows",
    depth: "(depth_pixels + 3u) / 4u",
    terms: "depth_pixels",
    a: {
      ...INPUTS[form],
      along: "lines",
      setup: (s, line) =>
        `let ${s}_line = min(${line}, params.rows / 4u - 1u);
  let ${s}_tap = ${s}_line / params.in_c4;
  let ${s}_c = ${s}_line - ${s}_tap * params.in_c4;
  let ${s}_ky = ${s}_tap / params.window_w;
  let ${s}_kx = ${s}_tap - ${s}_ky * params.window_w - params.pad_left;`,
    },
    b: {
      along: "lines",
      setup: (s, line) => `let ${s}_column = min(${line}, params.columns - 1u);`,
      turn: () => "",
      load: (s, k, inside) =>
        masked("StoredColumns", `dy[(first_pixel + (${k})) * params.columns + ${s}_column]`, inside),
    },
    columnSums: true,
  };
}

/** Parts of a weight gradient that an invocation loads at a time. */
const SUMMED_PARTS = 8;

/**
 * Adds the parts of a split weight gradient in float32; an item is a vec4. It keeps a sum of every 8th part, so that eight
 * loads are in flight, and adds those in order.
 */
export const SUM_PARTS: ItemKernel = {
  ...{ name: "conv2d_sum_parts", element: "vec4f", source: "parts", result: "dw" },
  body() {
    const all = range(SUMMED_PARTS);
    return `${all.map((i) => `var sum${i} = vec4f();`).join(" ")}
  let whole = work.parts / ${SUMMED_PARTS}u * ${SUMMED_PARTS}u;
  var at = work.source + id;
  for (var part = 0u; part < whole; part += ${SUMMED_PARTS}u) {
    ${all.map((i) => `sum${i} += parts[at + ${i}u * work.items];`).join("\n    ")}
    at += ${SUMMED_PARTS}u * work.items;
  }
  for (var part = whole; part < work.parts; part++) {
    sum0 += parts[at];
    at += work.items;
  }
  dw[work.result + id] = ${all.map((i) => `sum${i}`).join(" + ")};`;
  },
};
