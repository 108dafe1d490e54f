/**
 * Launchers of `group_norm.wgsl` and its variants: group normalisation with optional activation and dropout, and its gradients.
 *
 * @module
 */
import { type Activation, withActivation } from "./activation_source.ts";
import { heldKernel, MAX_HELD_PIXELS, pairsMasks } from "./group_norm_held.ts";
import { type KernelSource, type Launch, launch } from "./source.ts";
import {
  groupNormDropoutKernel,
  groupNormJoinedKernel,
  groupNormKernel,
  groupNormSplitKernel,
} from "./sources.ts";
import { GUARANTEED_INVOCATIONS, type KernelTarget } from "./target.ts";

/** Dropout after a normalisation. */
export interface DropoutShape {
  /** Probability of a zero, in [0, 1); rounded to the nearest multiple of 2^-16 below 1. */
  readonly rate: number;
  /** Index of the dropout layer in the network, from 0. */
  readonly layer: number;
}

/** Shape and options of a group normalisation. */
export interface GroupNormShape {
  readonly batch: number;
  /** Pixels, H * W. */
  readonly spatial: number;
  /** Channels without padding. */
  readonly channels: number;
  /** Divides `channels`. */
  readonly groups: number;
  /** Added to the variance; 1e-6 in the reference model. */
  readonly eps: number;
  /** Applied to the result. */
  readonly activation?: Activation | undefined;
  /** Samples have a gamma and a beta each, see `scale_shift.wgsl`. */
  readonly perSample?: boolean;
  /** Apply dropout to the result, or to that of the activation. */
  readonly dropout?: DropoutShape;
  /**
   * Channels of the first of two tensors that x concatenates, a multiple of 4; the second has the rest. Only without dropout,
   * and only with a second tensor in the buffers.
   */
  readonly first?: number | undefined;
  /** Thread mapping: `subgroup` for software adapters, `tile` (default) for GPUs. */
  readonly path?: KernelTarget["path"];
}

/** Number of values of an element's 16 random bits. */
const LEVELS = 2 ** 16;

/** Limit on columns of four channels per workgroup, from WebGPU's 16 KiB of workgroup memory. */
const MAX_BLOCK = 256;

/** Minimum pixels of a large sample; smaller ones get fewer rows, so that each invocation has enough pixels. */
const LARGE = 512;

/** Pass of a normalisation. */
type Pass = "forward" | "backward";

/**
 * Pixels that an invocation should hold in registers: backward holds two values of each. A workgroup of 256 then needs less than
 * half of the registers of a multiprocessor, so that another can load while it computes.
 */
const WANTED_PIXELS: Readonly<Record<Pass, number>> = { forward: 16, backward: 8 };

/** Columns per workgroup on a GPU, at least: 64 and 32 contiguous bytes; and at most: a cache line of 128. */
const GPU_BLOCK: Readonly<Record<Pass | "most", number>> = { forward: 4, backward: 2, most: 8 };

/** Thread mapping of a workgroup. */
interface Layout {
  /** Columns per workgroup; a whole number of groups. */
  readonly block: number;
  /** Invocations per column. Results depend on this and on `runs`, so neither may depend on the batch. */
  readonly rows: number;
  /** Invocations per workgroup; few distinct sizes, since each compiles a pipeline. */
  readonly lanes: number;
  /** Pixels that an invocation holds in registers; undefined: it loops over them. */
  readonly held?: number;
  /** In a loop, assign consecutive pixels to an invocation. */
  readonly runs?: boolean;
}

/** Buffers of {@linkcode groupNormForward}. */
export interface GroupNormForwardBuffers<B> {
  readonly x: B;
  readonly xSecond?: B;
  readonly gamma: B;
  readonly beta: B;
  readonly stats: B;
  readonly y: B;
  readonly stepState?: B;
}

/**
 * Normalises each group of channels of each sample (Wu & He 2018): `y = gamma * xhat + beta`, optionally with an activation; then
 * dropout sets each value to zero with probability p and divides the others by 1 - p (Srivastava et al. 2014), where p is
 * the rate rounded to a multiple of 2^-16. Value `j` of vec4 `1024 b + 512 h + c` of `y`, `h` being 0 or 1 and `c < 512`, is
 * kept if half `h` of word `j` (0 the lower 16 bits) of Threefry4x32 at counter `(512 b + c, 16 + layer, step, stream)` is at
 * least `2^16 p`.
 *
 * @param buffers `x`, `y` [N, H*W, Cp], or `x` [N, H*W, A] and `xSecond` [N, H*W, Bp] if x is a concatenation that is not
 *   stored; `gamma`, `beta` [Cp], or, per sample, both the same [N, 2, Cp], beta first; `stats` [N, 4, Cp] receives mean, 1 / sqrt(var + eps), gamma times that, and beta, by
 *   channel; `stepState` as in `step_state.wgsl`, with dropout
 * @throws {RangeError} if groups do not divide channels, a group is too large for a workgroup, or the rate is not in [0, 1)
 */
export function groupNormForward<B>(
  shape: GroupNormShape,
  { x, xSecond, gamma, beta, stats, y, stepState }: GroupNormForwardBuffers<B>,
  label = "group_norm",
): Launch<B>[] {
  const base = shape.dropout
    ? groupNormDropoutKernel
    : xSecond === undefined
    ? groupNormKernel
    : groupNormJoinedKernel;
  const buffers = { x, x_second: xSecond, gamma, beta, stats, y, step_state: shape.dropout && stepState };
  return [launchOf<B>("forward", shape, base, buffers, {}, label)];
}

/** Buffers of {@linkcode groupNormBackward}. */
export interface GroupNormBackwardBuffers<B> {
  /** As in the forward pass. */
  readonly x: B;
  /** Likewise; requires a `dxSecond`. */
  readonly xSecond?: B;
  /** [N, 4, Cp], of the forward pass. */
  readonly stats: B;
  /** [N, H*W, Cp]. */
  readonly dy: B;
  /** [N, H*W, Cp], added to the gradient of x. */
  readonly addend?: B;
  /** Likewise; not with a `dxSecond`. */
  readonly addendSecond?: B;
  /** [N, H*W, Cp], or [N, H*W, A] if there is a second one. */
  readonly dx: B;
  /** [N, H*W, Bp]: x is a concatenation, and the gradient of its second tensor goes here. */
  readonly dxSecond?: B;
  /** [N, 2, Cp], the gradients of beta and gamma by each sample; those of all samples' are their sums (`sampleSums`). */
  readonly sums: B;
  /** As in the forward pass. */
  readonly stepState?: B;
}

/**
 * Gradients of {@linkcode groupNormForward}: `dx = addend + addendSecond + gradient`.
 *
 * @throws {RangeError} as {@linkcode groupNormForward}, or for two addends with a `dxSecond`
 */
export function groupNormBackward<B>(
  shape: GroupNormShape,
  buffers: GroupNormBackwardBuffers<B>,
  label = "group_norm gradient",
): Launch<B>[] {
  const { x, xSecond, stats, dy, dx, dxSecond, sums, stepState } = buffers;
  const addends = [buffers.addend, buffers.addendSecond].filter((addend) => addend !== undefined);
  // All declared buffers must be bound; dy stands in for absent addends, which are not read.
  const [addend = dy, addendSecond = dy] = addends;
  const common = { x, saved_stats: stats, dy, dx, sums, addend };
  if (dxSecond !== undefined) {
    if (addends.length > 1) throw new RangeError("group_norm: expected one addend with a second dx, got two");
    const kernel = xSecond === undefined ? groupNormSplitKernel : groupNormJoinedKernel;
    const both = { ...common, x_second: xSecond, dx_second: dxSecond };
    return [launchOf<B>("backward", shape, kernel, both, { has_addend: Number(addends.length > 0) }, label)];
  }
  const kernel = shape.dropout ? groupNormDropoutKernel : groupNormKernel;
  const whole = {
    ...{ ...common, addend_second: addendSecond },
    step_state: shape.dropout && stepState,
  };
  return [launchOf<B>("backward", shape, kernel, whole, {}, label, addends.length)];
}

function launchOf<B>(
  pass: Pass,
  shape: GroupNormShape,
  base: KernelSource,
  buffers: Record<string, B | undefined>,
  options: Record<string, number>,
  label: string,
  addends?: number,
): Launch<B> {
  const { layout, workgroups, ...plan } = planOf(pass, shape);
  const activated = Number(shape.activation !== undefined);
  const params = { ...plan.params, activated, addends: addends ?? 0 };
  // A pipeline for each choice takes a software adapter half a second to compile.
  const choices = shape.path === "subgroup" ? {} : { activated, ...addends === undefined ? {} : { addends } };
  const { held, lanes, rows, block, runs = false } = layout;
  const exact = rows * (held ?? 0) === shape.spatial && rows * block === lanes &&
    params.columns % block === 0;
  const constants = {
    ...{ ...choices, lanes, ...options },
    ...held === undefined ? { runs: Number(runs) } : { exact: Number(exact) },
    ...held !== undefined && shape.dropout
      ? { paired: Number(pairsMasks(shape.spatial, params.columns, rows, held)) }
      : {},
  };
  const variant = withActivation(base, shape.activation);
  const kernel = held === undefined ? variant : heldKernel(variant, held);
  const entry = held === undefined ? pass : `${pass}_held`;
  return launch<B, KernelSource>(kernel, entry, params, buffers, workgroups, { constants, label });
}

/** Smallest number of columns of four channels that is a whole number of groups. */
function unitOf(groupSize: number): number {
  return groupSize % 4 === 0 ? groupSize / 4 : groupSize % 2 === 0 ? groupSize / 2 : groupSize;
}

/** Error message if the kernel cannot normalise these groups of channels; undefined if it can. */
export function groupNormFault(channels: number, groups: number): string | undefined {
  const groupSize = channels / groups;
  if (!Number.isInteger(groupSize)) return `${groups} groups do not divide ${channels} channels`;
  const least = Math.min(Math.ceil(channels / 4), unitOf(groupSize));
  return least <= MAX_BLOCK
    ? undefined
    : `groups of ${groupSize} channels need ${4 * least} channels in a workgroup, ${
      4 * MAX_BLOCK
    } are allowed`;
}

function planOf(pass: Pass, shape: GroupNormShape) {
  const { batch, spatial, channels, groups, eps, first = channels, dropout, perSample } = shape;
  const fault = groupNormFault(channels, groups);
  if (fault !== undefined) throw new RangeError(`group_norm: ${fault}`);
  const group_size = channels / groups;
  const columns = Math.ceil(channels / 4);
  const unit = unitOf(group_size);
  const widen = (wanted: number) => Math.min(columns, unit * Math.max(1, Math.floor(wanted / unit)));
  const layout = shape.path === "subgroup"
    ? softwareLayout({ batch, spatial, columns }, widen)
    : heldLayout(pass, spatial, widen) ?? loopLayout(spatial, widen);
  const { block, rows } = layout;
  return {
    layout,
    params: {
      ...{ spatial, channels, columns, block, rows, group_size, eps, first_columns: Math.ceil(first / 4) },
      ...dropoutParams(dropout),
      ...perSample
        ? { affine_stride: 2 * columns, gamma_first: columns }
        : { affine_stride: 0, gamma_first: 0 },
    },
    workgroups: [Math.ceil(columns / block), batch, 1] as const,
  };
}

function dropoutParams({ rate, layer }: DropoutShape = { rate: 0, layer: 0 }) {
  if (!(rate >= 0 && rate < 1)) throw new RangeError(`group_norm: dropout rate ${rate} is not in [0, 1)`);
  const threshold = Math.min(Math.round(LEVELS * rate), LEVELS - 1);
  return { layer, threshold, dropout_scale: LEVELS / (LEVELS - threshold) };
}

/** Registers of the invocations hold a sample's block of columns; undefined if it is too large. */
function heldLayout(pass: Pass, spatial: number, widen: (wanted: number) => number): Layout | undefined {
  const wantedRows = Math.ceil(spatial / WANTED_PIXELS[pass]);
  const fitting = Math.floor(GUARANTEED_INVOCATIONS / wantedRows);
  const block = widen(Math.max(GPU_BLOCK[pass], Math.min(fitting, GPU_BLOCK.most)));
  const rows = Math.min(spatial, Math.floor(GUARANTEED_INVOCATIONS / block));
  const held = Math.ceil(spatial / rows);
  return held > MAX_HELD_PIXELS ? undefined : { block, rows, lanes: enoughLanes(rows * block, 64), held };
}

/** Smallest size of a workgroup for a number of invocations. */
function enoughLanes(count: number, least: number): number {
  return count <= least ? least : enoughLanes(count, 2 * least);
}

/** Large images on a GPU. 128 contiguous bytes fill a cache line. */
function loopLayout(spatial: number, widen: (wanted: number) => number): Layout {
  const block = widen(spatial < LARGE ? 16 : 8);
  const lanes = enoughLanes(block, spatial < LARGE ? 64 : 128);
  return { block, rows: Math.floor(lanes / block), lanes };
}

/** Lanes of a software adapter's workgroups, unless a group of channels has more columns. */
const SOFTWARE_LANES = 64;

/**
 * A software adapter runs the subgroups of a workgroup sequentially, and starting one costs as much as a few pixels: few
 * rows, and one where the columns fill a workgroup. Neighbouring columns share memory pages: as many as leave 16 workgroups
 * for its threads. One size of workgroups, since a pipeline takes half a second to compile.
 */
function softwareLayout(
  { batch, spatial, columns }: { batch: number; spatial: number; columns: number },
  widen: (wanted: number) => number,
): Layout {
  const wanted = spatial < 128 ? 1 : spatial < LARGE ? 4 : 8;
  const rows = Math.min(wanted, Math.max(1, Math.floor(SOFTWARE_LANES / columns)));
  const widest = SOFTWARE_LANES / rows;
  const block = widen(Math.min(widest, Math.max(8, batch * columns / 16)));
  return { block, rows, lanes: rows * block <= SOFTWARE_LANES ? SOFTWARE_LANES : MAX_BLOCK, runs: true };
}
