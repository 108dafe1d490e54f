/**
 * Kernel variants of a device, and the interface by which autotuning selects them.
 *
 * @module
 */

/** Properties of a device that kernel generators depend on; see `kernelTarget` in lib/graph/compile.ts. */
export interface KernelTarget {
  /**
   * `subgroup`, for software adapters: one fixed-size subgroup per workgroup, registers and subgroup broadcasts, no
   * workgroup memory. `tile`, for GPUs: tiles staged in workgroup memory.
   */
  readonly path: "subgroup" | "tile";
  /** Lanes of a subgroup; 0 if the size varies or subgroup operations are unavailable. */
  readonly subgroupSize: number;
  /**
   * Store activations, their gradients, and convolution and linear weights as float16, which needs `shader-f16`; all else
   * stays float32. See storage.ts.
   */
  readonly half?: boolean;
  /** Selects among candidates; default the first. */
  readonly choose?: Choose;
}

/**
 * Selects one of several variants that compute the same result, always the same one for the same key.
 *
 * @param key operation with all sizes
 * @param candidates names of the variants, the default first; never empty
 */
export type Choose = (key: string, candidates: readonly string[]) => string;

/** Selects the candidate for `key` on a target. */
export function choose({ choose }: KernelTarget, key: string, candidates: readonly string[]): string {
  return choose && candidates.length > 1 ? choose(key, candidates) : candidates[0];
}
