/**
 * Families of kernels, and the share of an adapter's limits that each reaches.
 *
 * @module
 */
import type { LimitRates } from "./report.ts";

/** Arithmetic unit of a kernel: multiply-add in float32, or matrix units (tensor cores) with float16 operands. */
export type Unit = "multiply-add" | "matrix";

/** Kernels that reach about the same share of the limits: time at the limits over time taken, both without the dispatches. */
export interface Family {
  readonly name: string;
  readonly unit: Unit;
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

/** Peak rates of the units, GFLOP/s. */
export const PEAKS: Readonly<Record<Unit, (limits: Pick<LimitRates, "fmaGflops">) => number>> = {
  "multiply-add": ({ fmaGflops }) => fmaGflops,
  matrix: ({ fmaGflops }) => MATRIX_TO_MULTIPLY_ADD * fmaGflops,
};

/** Families by the names of their kernels; the first match counts. */
const BY_KERNEL: readonly (readonly [RegExp, Family])[] = [
  // No product on matrix units has been timed yet; others' implicit convolutions reach a quarter of the peak.
  [/_matrix_\d/, { name: "products on matrix units", unit: "matrix", expected: 0.25 }],
  [/^matmul_/, {
    name: "products of Winograd and attention",
    unit: "multiply-add",
    measured: 0.46,
    expected: 0.56,
  }],
  [/^conv2d_(forward|backward_input)/, {
    name: "direct convolutions",
    unit: "multiply-add",
    measured: 0.41,
    expected: 0.53,
  }],
  [/^conv2d_backward_weight/, {
    name: "direct weight gradients",
    unit: "multiply-add",
    measured: 0.26,
    expected: 0.47,
  }],
  [/_sums?(_|\.)|sum_parts|^winograd\d_weight_gradient/, {
    name: "sums over pixels and parts",
    unit: "multiply-add",
    measured: 0.28,
  }],
  [/^winograd/, {
    name: "Winograd transforms",
    unit: "multiply-add",
    measured: 0.72,
  }],
  [/^group_norm/, { name: "GroupNorm", unit: "multiply-add", measured: 0.47 }],
];

/** Copying, adding, dropout, softmax, the optimizer. */
const REST: Family = { name: "elementwise", unit: "multiply-add", measured: 1 };

/** All families. */
export const FAMILIES: readonly Family[] = [...BY_KERNEL.map(([, family]) => family), REST];

/** Family of a kernel, given with its entry point. */
export function familyOf(kernel: string): Family {
  return BY_KERNEL.find(([pattern]) => pattern.test(kernel))?.[1] ?? REST;
}
