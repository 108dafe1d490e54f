/**
 * Division of the sum over pixels of a direct weight gradient into parts (split-k).
 *
 * @module
 */
import { type Conv2dShape, isFlat, tapsOf } from "./conv2d_shape.ts";
import type { WeightGradientForm } from "./conv2d_weight_source.ts";
import { occupyingParts, quads } from "./gemm.ts";
import { range } from "../range.ts";
import { GUARANTEED_BINDING, type KernelTarget } from "../target.ts";

/** Plan of a weight gradient. */
export interface WeightGradientPlan {
  readonly rows: number;
  readonly columns: number;
  readonly pixels: number;
  /** Rows of pixels per turn. */
  readonly turnRows: number;
  /** Pixels per turn. */
  readonly width: number;
  /** Turns per part. */
  readonly share: number;
  readonly parts: number;
}

/** Pixels by which parts of flat convolutions differ in length. */
const FLAT_PIXELS = 16;
/** Limit on pixels per turn on a GPU, below which `params.reciprocal` is exact. */
const TURN_PIXELS = 256;
/** Limit on pixels per float32 accumulator: more parts round less, but each is written and read again. */
const PART_PIXELS = 4096;
/** Pixels below which a part would spend more on its result than on its sum. */
const LEAST_PIXELS: Readonly<Record<KernelTarget["path"], number>> = { subgroup: 64, tile: 256 };

/** Sum over the pixels of a batch, of which each of `places` results has a part of its own. */
interface Sum {
  readonly form: WeightGradientForm | "upsampled";
  readonly rows: number;
  readonly columns: number;
  readonly places: number;
  readonly batch: number;
  readonly height: number;
  readonly width: number;
}

/** Rows of pixels per turn: on a GPU as many as fill the stages of its layouts. */
function rowsPerTurn({ form, height, width }: Sum): number {
  if (form !== "rows" && form !== "upsampled") return 1;
  const fitting = range(height).map((i) => i + 1)
    .filter((rows) => height % rows === 0 && rows * width <= TURN_PIXELS);
  return Math.max(1, ...fitting);
}

function divide(target: KernelTarget, sum: Sum): WeightGradientPlan {
  const { form, rows, columns, places, batch, height } = sum;
  const pixels = batch * height * sum.width;
  const turnRows = rowsPerTurn(sum);
  const flat = form === "flat" || form === "joined";
  const width = flat ? FLAT_PIXELS : turnRows * sum.width;
  const turns = Math.ceil(pixels / width);
  const { bindingBytes = GUARANTEED_BINDING } = target;
  const wanted = Math.min(
    Math.max(occupyingParts(target, { rows, columns, places }), Math.ceil(pixels / PART_PIXELS)),
    // All parts are bound at once.
    Math.max(1, Math.floor(bindingBytes / (4 * places * rows * columns))),
  );
  const least = Math.ceil(LEAST_PIXELS[target.path] / width);
  const share = Math.min(turns, Math.max(Math.ceil(turns / wanted), least));
  const plan = { rows, columns, pixels, turnRows, parts: Math.ceil(turns / share) } as const;
  // Without rows of pixels, a part is a single turn.
  return flat ? { ...plan, width: share * width, share: 1 } : { ...plan, width, share };
}

/** Pixels of the weight gradient of a convolution. */
export function weightGradientForm({ path }: KernelTarget, s: Conv2dShape): WeightGradientForm {
  if (s.firstChannels !== undefined) return "joined";
  if (isFlat(s)) return "flat";
  return path === "tile" ? "rows" : "row";
}

/** Divides the weight gradient of a convolution. */
export function planWeightGradient(target: KernelTarget, s: Conv2dShape): WeightGradientPlan {
  return divide(target, {
    form: weightGradientForm(target, s),
    ...{ places: 1, batch: s.batch, height: s.outHeight, width: s.outWidth },
    rows: tapsOf(s) * 4 * quads(s.inChannels),
    columns: 4 * quads(s.outChannels),
  });
}

/** Divides the weight gradients of the four 2x2 convolutions that a convolution of an upsampled image consists of. */
export function planUpsampledWeightGradient(target: KernelTarget, s: Conv2dShape): WeightGradientPlan {
  return divide(target, {
    ...{ form: "upsampled", places: 4, batch: s.batch, height: s.inHeight / 2, width: s.inWidth / 2 },
    rows: 4 * 4 * quads(s.inChannels),
    columns: 4 * quads(s.outChannels),
  });
}

/** Parameters of the sum of a weight gradient, whose pixels form images of this width. */
export function sumParams(
  { pixels, turnRows, width, share }: WeightGradientPlan,
  imageWidth: number,
): Record<string, number> {
  return {
    pixels,
    turn_rows: turnRows,
    turn_pixels: width,
    turns: Math.ceil(pixels / width),
    share,
    reciprocal: turnRows > 1 ? Math.ceil(2 ** 16 / imageWidth) : 0,
  };
}
