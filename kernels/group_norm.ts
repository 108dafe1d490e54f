/**
 * Launchers of `group_norm.wgsl`: group normalisation with optional SiLU, and its gradients.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { groupNormKernel } from "./sources.ts";
import type { KernelTarget } from "./target.ts";

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
  /** Apply SiLU to the result. */
  readonly silu: boolean;
  /** Thread mapping: `subgroup` for software adapters, `tile` (default) for GPUs. */
  readonly path?: KernelTarget["path"];
}

/** Limit on columns of four channels per workgroup, from WebGPU's 16 KiB of workgroup memory. */
const MAX_BLOCK = 256;

/** Minimum pixels of a large sample; smaller ones get fewer rows, so that each invocation has enough pixels. */
const LARGE = 512;

/** Thread mapping of a workgroup. */
interface Layout {
  /** Columns per workgroup; a whole number of groups. */
  readonly block: number;
  /** Invocations per column. Results depend on this and on `runs`, so neither may depend on the batch. */
  readonly rows: number;
  /** Invocations per workgroup; few distinct sizes, since each compiles a pipeline. */
  readonly lanes: number;
  /** Assign consecutive pixels to an invocation. */
  readonly runs: boolean;
}

/**
 * Normalises each group of channels of each sample (Wu & He 2018): `y = gamma * xhat + beta`, optionally with SiLU.
 *
 * @param buffers `x`, `y` [N, H*W, Cp]; `gamma`, `beta` [Cp]; `stats` [N, groups, 2] receives mean and
 *   1 / sqrt(var + eps)
 * @throws {RangeError} if groups do not divide channels, or a group is too large for a workgroup
 */
export function groupNormForward<B>(
  shape: GroupNormShape,
  { x, gamma, beta, stats, y }: { x: B; gamma: B; beta: B; stats: B; y: B },
  label = "group_norm",
): Launch<B>[] {
  const { params, constants, workgroups } = planOf(shape);
  return [
    launch(groupNormKernel, "forward", params, { x, gamma, beta, stats, y }, workgroups, {
      constants,
      label,
    }),
  ];
}

/**
 * Gradients of {@linkcode groupNormForward}.
 *
 * @param buffers `x`, `gamma`, `beta`, `stats` as in the forward pass; `dy`, `addend`, `dx` [N, H*W, Cp], where
 *   `dx = addend + gradient`; `sums` [N, 2, Cp] receives the gradients of beta and gamma by each sample, to be added up by
 *   `sampleSums`
 * @throws {RangeError} as {@linkcode groupNormForward}
 */
export function groupNormBackward<B>(
  shape: GroupNormShape,
  { x, gamma, beta, stats, dy, addend, dx, sums }: {
    x: B;
    gamma: B;
    beta: B;
    stats: B;
    dy: B;
    addend?: B;
    dx: B;
    sums: B;
  },
  label = "group_norm gradient",
): Launch<B>[] {
  const { params, constants, workgroups } = planOf(shape);
  return [
    launch(
      groupNormKernel,
      "backward",
      params,
      // All declared buffers must be bound; dy stands in for an absent addend, which is not read.
      { x, gamma, beta, saved_stats: stats, dy, addend: addend ?? dy, dx, sums },
      workgroups,
      { constants: { ...constants, has_addend: Number(addend !== undefined) }, label },
    ),
  ];
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

function planOf(shape: GroupNormShape) {
  const { batch, spatial, channels, groups, eps, silu } = shape;
  const fault = groupNormFault(channels, groups);
  if (fault !== undefined) throw new RangeError(`group_norm: ${fault}`);
  const group_size = channels / groups;
  const columns = Math.ceil(channels / 4);
  const unit = unitOf(group_size);
  const least = Math.min(columns, unit);
  const widen = (wanted: number) => Math.min(columns, unit * Math.max(1, Math.floor(wanted / unit)));
  const { block, rows, lanes, runs } = shape.path === "subgroup"
    ? softwareLayout({ batch, spatial, columns, least }, widen)
    : gpuLayout(spatial, widen);
  return {
    params: { spatial, channels, columns, block, rows, group_size, eps },
    constants: { use_silu: Number(silu), runs: Number(runs), lanes },
    workgroups: [Math.ceil(columns / block), batch, 1] as const,
  };
}

function gpuLayout(spatial: number, widen: (wanted: number) => number): Layout {
  // 128 contiguous bytes fill a GPU cache line; wider blocks leave small samples more pixels per lane.
  const block = widen(spatial < LARGE ? 16 : 8);
  let lanes = spatial < LARGE ? 64 : 128;
  while (lanes < block) lanes *= 2;
  return { block, rows: Math.floor(lanes / block), lanes, runs: false };
}

/**
 * A software adapter runs the subgroups of a workgroup sequentially, and starting one costs as much as a few pixels: few
 * rows. Neighbouring columns share memory pages: as many as leave 16 workgroups for its threads.
 */
function softwareLayout(
  { batch, spatial, columns, least }: { batch: number; spatial: number; columns: number; least: number },
  widen: (wanted: number) => number,
): Layout {
  const rows = Math.min(spatial < 128 ? 1 : spatial < LARGE ? 4 : 8, Math.floor(MAX_BLOCK / least));
  const widest = Math.min(64, Math.floor(MAX_BLOCK / rows));
  const block = widen(Math.min(widest, Math.max(8, batch * columns / 16)));
  return { block, rows, lanes: rows * block <= 64 ? 64 : MAX_BLOCK, runs: true };
}
