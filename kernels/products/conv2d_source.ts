/**
 * WGSL of the output and the input gradient of a convolution as {@linkcode GemmProblem}s (implicit im2col, Chellapilla et al.
 * 2006: patches are never written to memory); see conv2d_weight_source.ts for the weight gradient.
 *
 *   forward          y[p, o]      = sum over tap, i of x[p at tap, i] w[tap, i, o]      rows: output pixels
 *   backward_input   dx[p, i]     = sum over tap, o of dy[p from tap, o] w[tap, i, o]   rows: input pixels
 *
 * Activations [N, H, W, Cp] and weights [kh, kw, Ip, Op] are arrays of `Stored4` along channels, or of `StoredColumns` where
 * channels are the product's columns; biases and sums are float32. All outputs are written with `=`.
 *
 * `flat` is the 1x1 convolution of stride 1, on a flat list of pixels; `joined` is the same of a concatenation that is not
 * stored: the outer loop is over its two tensors. Coordinates before the image wrap around to beyond its
 * end, so one unsigned comparison checks both bounds. Conditions are joined with `&`: `&&` becomes control flow, which costs a
 * basic block in the innermost loop.
 *
 * @module
 */
import { type GemmOperand, type GemmProblem, masked } from "./gemm_problem.ts";

/** WGSL of the sizes that all products of a convolution take. */
export const PARAMS = `
struct Params {
  rows: u32,         // of the product
  batch: u32,
  columns: u32,      // of the product, in groups of WIDTH
  in_h: u32, in_w: u32, in_c4: u32,
  out_h: u32, out_w: u32, out_c4: u32,
  taps: u32,         // of the window
  window_w: u32,
  stride: u32,
  pad_top: u32, pad_left: u32,
  sample_rows: u32,  // forward: rows of one sample
  has_bias: u32, has_row_bias: u32, has_addend: u32,
  row_bias_first: u32, row_bias_row: u32,  // elements
}
@group(0) @binding(0) var<uniform> params: Params;
`;

/** Likewise, with the quads of channels of the first of two tensors that x concatenates. */
export const JOINED_PARAMS: string = PARAMS.replace("has_bias", "first_c4: u32, has_bias");

/** Loop over the taps of the window in row order. */
export const TAPS = { counter: "tap", first: "0u", end: "params.taps" };
export const TAP = `let ky = tap / params.window_w;
  let kx = tap - ky * params.window_w;`;

/** Operand whose rows are the pixels of `tensor` [rows, c4]. */
function flatRows(tensor: string, c4: string): GemmOperand {
  return {
    along: "k",
    setup: (slot, line) => `let ${slot}_at = min(${line}, params.rows - 1u) * ${c4};`,
    turn: () => "",
    load: (slot, k, inside) => masked("Stored4", `${tensor}[${slot}_at + ${k}]`, inside),
  };
}

/** WGSL of the second of two tensors that x concatenates. */
export const SECOND_INPUT = `
@group(0) @binding(7) var<storage, read> x_second: array<Stored4>;
`;

/** Operand whose rows are the pixels of a concatenation; `part_c4` are the quads of channels of a part. */
const JOINED_ROWS: GemmOperand = {
  ...flatRows("x", "part_c4"),
  setup: (slot, line) => `let ${slot}_row = min(${line}, params.rows - 1u);`,
  turn: (slot) => `let ${slot}_at = ${slot}_row * part_c4;`,
  second: { when: () => "part != 0u", load: (slot, k) => `x_second[${slot}_at + ${k}]` },
};

/**
 * Operand whose rows are pixels, with at most one element of `tensor` per tap.
 *
 * @param pixel WGSL function from a row to its sample, y and x
 * @param image prefix of the tensor's sizes in `Params`
 * @param source WGSL for one axis: coordinate in the tensor from those of pixel and tap and the padding; wraps around out of
 *   the image if there is no element
 */
export function windowRows(
  tensor: string,
  pixel: string,
  image: string,
  source: (at: string, tap: string, pad: string) => string,
): GemmOperand {
  return {
    along: "k",
    setup: (s, line) => `let ${s}_p = ${pixel}(min(${line}, params.rows - 1u));`,
    turn: (s) =>
      `let ${s}_y = ${source(`${s}_p.y`, "ky", "params.pad_top")};
    let ${s}_x = ${source(`${s}_p.z`, "kx", "params.pad_left")};
    let ${s}_ok = (${s}_y < params.${image}_h) & (${s}_x < params.${image}_w);
    let ${s}_at = select(0u, ((${s}_p.x * params.${image}_h + ${s}_y) * params.${image}_w + ${s}_x) * params.${image}_c4, ${s}_ok);`,
    load: (s, k, inside) =>
      `select(Stored4(), ${tensor}[${s}_at + ${k}], ${inside ? `${s}_ok & (${inside})` : `${s}_ok`})`,
  };
}

/** WGSL function `pixel` from a row to sample, y and x, for image sizes with this prefix in `Params`. */
export function pixelFunction(image: string): string {
  return `
fn pixel(row: u32) -> vec3u {
  let line = row / params.${image}_w;
  let sample = line / params.${image}_h;
  return vec3u(sample, line - sample * params.${image}_h, row - line * params.${image}_w);
}`;
}

/** Operand x of a forward product, the loop over its parts or taps, and the rows of weights before each. */
const FORWARD = {
  flat: { loop: undefined, turn: "", depth: "params.in_c4", a: flatRows("x", "params.in_c4"), weights: "" },
  joined: {
    loop: { counter: "part", first: "0u", end: "2u" },
    turn: "let part_c4 = select(params.first_c4, params.in_c4 - params.first_c4, part != 0u);",
    depth: "part_c4",
    a: JOINED_ROWS,
    weights: "part * 4u * params.first_c4",
  },
  window: {
    loop: TAPS,
    turn: TAP,
    depth: "params.in_c4",
    a: windowRows("x", "pixel", "in", (at, tap, pad) => `${at} * params.stride + ${tap} - ${pad}`),
    weights: "tap * 4u * params.in_c4",
  },
} as const;

/**
 * WGSL of the output of a forward product, with its bindings.
 *
 * @param rows rows of y
 * @param at row of y, from the row and the place of a product
 * @param relu apply ReLU; a branch on a parameter, in every unrolled store, would take LLVM minutes to compile
 */
export function forwardOutput(rows: string, at: string, relu = false): string {
  return `
@group(0) @binding(3) var<storage, read> bias: array<Columns>;
@group(0) @binding(4) var<storage, read> row_bias: array<Columns>;
@group(0) @binding(5) var<storage, read> residual: array<StoredColumns>;
@group(0) @binding(6) var<storage, read_write> y: array<StoredColumns>;

fn store(place: u32, row: u32, column: u32, value: Columns) {
  if (row >= ${rows} || column >= params.columns) { return; }
  let at = ${at} * params.columns + column;
  var sum = value;
  if (params.has_bias != 0u) { sum += bias[column]; }
  if (params.has_row_bias != 0u) {
    let first = row / params.sample_rows * params.row_bias_row + params.row_bias_first;
    sum += row_bias[first / WIDTH + column];
  }
  if (params.has_addend != 0u) { sum += Columns(residual[at]); }
  y[at] = StoredColumns(${relu ? "max(sum, Columns())" : "sum"});
}`;
}

/** y = x * w + bias + row bias + residual, and ReLU of it if asked for. */
export function forwardProblem(form: keyof typeof FORWARD, relu = false): GemmProblem {
  const { weights, a, ...outer } = FORWARD[form];
  return {
    name: `conv2d_forward${form === "window" ? "" : `_${form}`}${relu ? "_relu" : ""}`,
    declarations: `${form === "joined" ? `${JOINED_PARAMS}${SECOND_INPUT}` : PARAMS}
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read> weight: array<StoredColumns>;
${forwardOutput("params.rows", "row", relu)}
${form === "window" ? pixelFunction("out") : ""}`,
    ...outer,
    prologue: "",
    rows: "params.rows",
    a,
    b: {
      along: "lines",
      setup: (s, line) => `let ${s}_column = min(${line}, params.columns - 1u);`,
      turn: (s) => `let ${s}_at = ${weights && `${weights} * params.columns + `}${s}_column;`,
      load: (s, k) => `weight[${s}_at + (${k}) * params.columns]`,
    },
  };
}

/**
 * Row order of a strided input gradient. Taps reach pixels by their coordinates modulo the stride, so rows are ordered by
 * that class, and whole tiles skip taps that do not reach them. Rows outside the image, if its size is not a multiple of the
 * stride, have no target.
 */
const STRIDED_PIXELS = `
fn pixel(row: u32) -> vec3u {
  let h = (params.in_h + params.stride - 1u) / params.stride;
  let w = (params.in_w + params.stride - 1u) / params.stride;
  let line = row / w;
  let image = line / h;
  let group = image / params.batch;
  let phase = group / params.stride;
  return vec3u(
    image - group * params.batch,
    (line - image * h) * params.stride + phase,
    (row - line * w) * params.stride + group - phase * params.stride,
  );
}
fn target_row(row: u32) -> u32 {
  let p = pixel(row);
  let inside = (row < params.rows) & (p.y < params.in_h) & (p.z < params.in_w);
  return select(0xffffffffu, (p.x * params.in_h + p.y) * params.in_w + p.z, inside);
}
// True if a tap reaches the class of rows \`first\` to \`last\`, or if they belong to several classes.
fn reaches(first: u32, last: u32, tap: vec2u) -> bool {
  let phase = pixel(first).yz % params.stride;
  let several = any(pixel(min(last, params.rows - 1u)).yz % params.stride != phase);
  return several | all((phase + vec2u(params.pad_top, params.pad_left) - tap) % params.stride == vec2u());
}`;

/**
 * Pixel addressing of an input gradient: `flat` (1x1), `window` (stride 1), `strided`, or `upsampled` (see
 * conv2d_upsampled_source.ts), which is a forward convolution of dy of stride 2.
 */
export type InputGradientForm = "flat" | "window" | "strided" | "upsampled";

/** dx = dy * w^T + addend. */
export function inputGradientProblem(form: InputGradientForm): GemmProblem {
  const flat = form === "flat";
  const strided = form === "strided";
  // Pixels that a tap does not reach get the largest coordinate.
  const source = (at: string, tap: string, pad: string) => {
    const from = `${at} + ${pad} - ${tap}`;
    if (form === "upsampled") return `2u * ${at} + ${tap} - ${pad}`;
    return strided ? `select(0xffffffffu, (${from}) / params.stride, (${from}) % params.stride == 0u)` : from;
  };
  const rows = windowRows("dy", "pixel", "out", source);
  return {
    name: `conv2d_backward_input_${form}`,
    declarations: `${PARAMS}
@group(0) @binding(1) var<storage, read> dy: array<Stored4>;
@group(0) @binding(2) var<storage, read> weight: array<Stored4>;
@group(0) @binding(3) var<storage, read> addend: array<StoredColumns>;
@group(0) @binding(4) var<storage, read_write> dx: array<StoredColumns>;

fn store(place: u32, row: u32, column: u32, value: Columns) {
  if (row >= params.rows || column >= params.columns) { return; }
  let at = row * params.columns + column;
  var sum = value;
  if (params.has_addend != 0u) { sum += Columns(addend[at]); }
  dx[at] = StoredColumns(sum);
}
${flat ? "" : strided ? STRIDED_PIXELS : pixelFunction("in")}`,
    prologue: "",
    loop: flat ? undefined : TAPS,
    turn: flat ? "" : TAP,
    rows: "params.rows",
    targetRows: strided,
    depth: "params.out_c4",
    a: flat ? flatRows("dy", "params.out_c4") : strided
      ? {
        ...rows,
        active: (s) => `${s}_ok`,
        anyActive: (first, last) => `reaches(${first}, ${last}, vec2u(ky, kx))`,
      }
      : rows,
    b: {
      along: "k",
      setup: (s, line) => `let ${s}_column = min(${line}, WIDTH * params.columns - 1u);`,
      turn: (s) => `let ${s}_at = (${flat ? "" : "tap * 4u * params.in_c4 + "}${s}_column) * params.out_c4;`,
      load: (s, k) => `weight[${s}_at + ${k}]`,
    },
  };
}
