/**
 * Table of a profile: the GPU time of each kernel.
 *
 * @module
 */
import { type ProfileEntry, type Slice, summarizeProfile } from "../lib/gpu/profile.ts";
import { figure, percent, table } from "./table.ts";

/** Peak rates of an adapter. */
export interface LimitRates {
  /** Float32 GFLOP/s, 2 operations per multiply-add. */
  readonly fmaGflops: number;
  readonly fmaVariant: string;
  /** GB/s, read plus written. */
  readonly copyGigabytesPerSecond: number;
  readonly copyVariant: string;
}

/** Time per kernel of a replayed step. */
export interface Profile {
  /** Profiled step, e.g. `training step of tiny, batch 16`. */
  readonly name: string;
  /** Number of profiled replays. */
  readonly replays: number;
  /** From first to last dispatch, gaps included; sum over the replays. */
  readonly milliseconds: number;
  /** Sums over the replays, longest first. */
  readonly kernels: readonly ProfileEntry[];
}

/** Sums profiled dispatches by kernel. */
export function newProfile(name: string, replays: readonly (readonly Slice[])[]): Profile {
  const spans = replays.map((slices) => {
    const ends = slices.map(({ start, milliseconds }) => start + milliseconds);
    return Math.max(0, ...ends) - (slices[0]?.start ?? 0);
  });
  const milliseconds = spans.reduce((sum, span) => sum + span, 0);
  return { name, replays: replays.length, milliseconds, kernels: summarizeProfile(replays.flat()) };
}

/** Footnote on the bandwidth of a profile. */
export const BYTES_NOTE =
  "(GB/s counts every bound buffer range once, so it is too high for dispatches that use only part of a range)";

/** Table of a profile: a row per kernel, means per replay, with shares of the peak rates if given. */
export function profileLines(profile: Profile, limits?: LimitRates): string[] {
  const { name, replays, milliseconds, kernels } = profile;
  const total = kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const calls = kernels.reduce((sum, { calls }) => sum + calls, 0);
  const flops = kernels.reduce((sum, { flops }) => sum + flops, 0);
  const all = { name: "all", calls, milliseconds: total, share: 1, flops, bytes: 0 };
  const heads = ["calls", "ms", "share", "GFLOP/s", ...(limits ? ["of peak"] : []), "GB/s"];
  const lines = table([name, ...heads, ...(limits ? ["of copy"] : [])], [...kernels, all], (entry) => {
    const rate = (amount: number) => amount > 0 ? amount / entry.milliseconds / 1e6 : undefined;
    const [gflops, gigabytes] = [rate(entry.flops), rate(entry.bytes)];
    const of = (rate: number | undefined, limit: number | undefined) =>
      limit === undefined ? [] : [rate === undefined ? "" : percent(rate / limit)];
    return [
      entry.name,
      count(entry.calls / replays),
      figure(entry.milliseconds / replays),
      percent(entry.share),
      figure(gflops),
      ...of(gflops, limits?.fmaGflops),
      figure(gigabytes),
      ...of(gigabytes, limits?.copyGigabytesPerSecond),
    ];
  });
  const each = figure(milliseconds / replays);
  const times = replays === 1 ? "once" : `mean of ${replays}`;
  return [
    ...lines,
    `${each} ms from the first dispatch to the end of the last, timestamps included; ${times}`,
  ];
}

/** Integers in full, means with three significant digits. */
function count(value: number): string {
  return Number.isInteger(value) ? String(value) : figure(value);
}
