/**
 * Families of kernels, and the share of an adapter's limits that each reaches.
 *
 * @module
 */
import type { LimitRates } from "../terminal/profile_table.ts";

/**
 * LimitingRate that a kernel's share refers to: the rate of multiply-add in float32, that of matrix units (tensor cores) with float16
 * operands, or the copy rate. Products that move more than they multiply are held by the copy rate, too.
 */
export type LimitingRate = "multiply-add" | "matrix units" | "copy";

/** Kernels that reach about the same share of the limits: time at the limits over time taken, both without the dispatches. */
export interface Family {
  readonly name: string;
  readonly limit: LimitingRate;
  /**
   * Share measured in `ddpm`'s profile on an H200 (`results/nvidia-h200/profile-float32.json`), of the kernels that this
   * version or the one profiled had; absent if none were profiled.
   */
  readonly measured?: number;
  /** Share expected of kernels that have changed since (`NOTES.md` has the reasons); absent if they have not. */
  readonly expected?: number;
}

/** Share that predictions use. */
export function efficiencyOf({ expected, measured }: Family): number {
  return expected ?? measured ?? 1;
}

/** Matrix units of an H200 over its float32 peak: 721 TFLOP/s with float32 sums, measured on registers alone. */
const MATRIX_TO_MULTIPLY_ADD = 721 / 59.4;

/** Peak rates of arithmetic, GFLOP/s; infinite where it does not count. */
export const PEAKS: Readonly<Record<LimitingRate, (limits: Pick<LimitRates, "fmaGflops">) => number>> = {
  "multiply-add": ({ fmaGflops }) => fmaGflops,
  "matrix units": ({ fmaGflops }) => MATRIX_TO_MULTIPLY_ADD * fmaGflops,
  copy: () => Infinity,
};

/** Families by the names of their kernels; the first match counts. */
const BY_KERNEL: readonly (readonly [RegExp, Family])[] = [
  // None has been timed yet; the prediction is by reads of workgroup memory, L1 and L2.
  [/_matrix_\d/, { name: "products on matrix units", limit: "matrix units", expected: 0.36 }],
  [/^matmul_/, {
    name: "products of Winograd and attention",
    limit: "multiply-add",
    measured: 0.46,
    expected: 0.56,
  }],
  [/^conv2d_(forward|backward_input)/, {
    name: "direct convolutions",
    limit: "multiply-add",
    measured: 0.41,
    expected: 0.53,
  }],
  [/^conv2d_backward_weight/, {
    name: "direct weight gradients",
    limit: "multiply-add",
    measured: 0.26,
    expected: 0.47,
  }],
  // Several loads in flight a lane, where one lane read 128 values in turn.
  [/^(sample_sums|conv2d_sum_parts)/, {
    name: "sums over samples and parts",
    limit: "copy",
    measured: 0.02,
    expected: 0.5,
  }],
  [/_sums?(_|\.)|^winograd\d_weight_gradient/, { name: "sums over pixels", limit: "copy", measured: 0.28 }],
  [/^winograd/, { name: "Winograd transforms", limit: "copy", measured: 0.72 }],
  // Pixels held in registers are read once.
  [/^group_norm.*\.forward/, { name: "GroupNorm, forward", limit: "copy", measured: 0.41, expected: 0.8 }],
  [/^group_norm/, { name: "GroupNorm, backward", limit: "copy", measured: 0.51, expected: 0.75 }],
];

/** Copying, adding, softmax, the optimizer. */
const REST: Family = { name: "elementwise", limit: "copy", measured: 1 };

/** All families. */
export const FAMILIES: readonly Family[] = [...BY_KERNEL.map(([, family]) => family), REST];

/** Family of a kernel, given with its entry point. */
export function familyOf(kernel: string): Family {
  return BY_KERNEL.find(([pattern]) => pattern.test(kernel))?.[1] ?? REST;
}
