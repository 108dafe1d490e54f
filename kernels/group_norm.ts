/**
 * Launchers of `group_norm.wgsl`: group normalisation with optional SiLU, and its gradients.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { group_norm } from "./sources.ts";

/** Shape and switches of one group normalisation. */
export interface GroupNormShape {
  readonly batch: number;
  /** Pixels, H * W. */
  readonly spatial: number;
  /** Channels without padding. */
  readonly channels: number;
  /** Divides `channels`. */
  readonly groups: number;
  /** Added to the variance; the reference model has 1e-6. */
  readonly eps: number;
  /** Whether SiLU follows. */
  readonly silu: boolean;
}

/** Most columns of four channels in one workgroup, so that the workgroup memory stays within WebGPU's 16 KiB. */
const MAX_BLOCK = 256;

/** From how many pixels on a sample counts as large; below, an invocation would get too few of them. */
const LARGE = 512;

/**
 * Normalises each group of channels of each sample (Wu & He 2018): `y = gamma * xhat + beta`, then SiLU if asked for.
 *
 * @param buffers `x`, `y` [N, H*W, Cp]; `gamma`, `beta` [Cp]; `stats` [N, groups, 2] receives mean and
 *   1 / sqrt(var + eps)
 * @throws {RangeError} when groups do not divide channels, or a group is too large for a workgroup
 */
export function groupNormForward<B>(
  shape: GroupNormShape,
  { x, gamma, beta, stats, y }: { x: B; gamma: B; beta: B; stats: B; y: B },
  label = "group_norm",
): Launch<B>[] {
  const params = paramsOf(shape);
  const constants = { use_silu: Number(shape.silu), lanes: lanesOf(params) };
  return [
    launch(group_norm, "forward", params, { x, gamma, beta, stats, y }, workgroupsOf(params), {
      constants,
      label,
    }),
  ];
}

/** Number of floats that {@linkcode groupNormBackward} needs as scratch: two sums per sample and channel. */
export function groupNormScratch({ batch, channels }: GroupNormShape): number {
  return batch * 2 * 4 * Math.ceil(channels / 4);
}

/**
 * Gradients of {@linkcode groupNormForward}.
 *
 * @param buffers `x`, `gamma`, `beta`, `stats` as in the forward pass; `dy`, `addend`, `dx` [N, H*W, Cp], where
 *   `dx = addend + gradient`; `dgamma`, `dbeta` [Cp]; `scratch` of {@linkcode groupNormScratch} floats
 * @throws {RangeError} as the forward pass
 */
export function groupNormBackward<B>(
  shape: GroupNormShape,
  { x, gamma, beta, stats, dy, addend, dx, dgamma, dbeta, scratch }: {
    x: B;
    gamma: B;
    beta: B;
    stats: B;
    dy: B;
    addend?: B;
    dx: B;
    dgamma: B;
    dbeta: B;
    scratch: B;
  },
  label = "group_norm gradient",
): Launch<B>[] {
  const params = paramsOf(shape);
  const constants = {
    use_silu: Number(shape.silu),
    has_addend: Number(addend !== undefined),
    lanes: lanesOf(params),
  };
  return [
    launch(
      group_norm,
      "backward",
      params,
      // A pipeline needs every buffer its text names, so dy stands in for an addend that is not read.
      { x, gamma, beta, saved_stats: stats, dy, addend: addend ?? dy, dx, sums: scratch },
      workgroupsOf(params),
      { constants, label },
    ),
    launch(
      group_norm,
      "sum_samples",
      params,
      { saved_sums: scratch, dgamma, dbeta },
      [Math.ceil(2 * params.columns / 64), 1, 1],
      { label: `${label} of gamma, beta` },
    ),
  ];
}

function paramsOf({ batch, spatial, channels, groups, eps }: GroupNormShape) {
  const group_size = channels / groups;
  if (!Number.isInteger(group_size)) {
    throw new RangeError(`group_norm: ${groups} groups do not divide ${channels} channels`);
  }
  const columns = Math.ceil(channels / 4);
  // The fewest columns that hold whole groups, then as many of those as make the block wide enough.
  const unit = group_size % 4 === 0 ? group_size / 4 : group_size % 2 === 0 ? group_size / 2 : group_size;
  // 128 bytes side by side fill a cache line of a GPU; more of them in a small sample leave more pixels to a lane.
  const wanted = spatial < LARGE ? 16 : 8;
  const block = Math.min(columns, unit * Math.max(1, Math.floor(wanted / unit)));
  if (block > MAX_BLOCK) {
    throw new RangeError(
      `group_norm: groups of ${group_size} channels need ${4 * block} channels in a workgroup, ` +
        `${4 * MAX_BLOCK} are allowed`,
    );
  }
  return { batch, spatial, channels, columns, block, group_size, eps };
}

/** Invocations of a workgroup: two sizes for all but very wide blocks, since each is a pipeline to compile. */
function lanesOf({ spatial, block }: { spatial: number; block: number }): number {
  let lanes = spatial < LARGE ? 64 : 128;
  while (lanes < block) lanes *= 2;
  return lanes;
}

function workgroupsOf({ batch, columns, block }: { batch: number; columns: number; block: number }) {
  return [Math.ceil(columns / block), batch, 1] as const;
}
