/**
 * Kernel variants for a device, and choices between them.
 *
 * @module
 */

/** What the kernel generators need to know of a device; filled in by the engine from adapter and limits. */
export interface KernelTarget {
  /**
   * `subgroup`: one fixed-size subgroup per workgroup, registers and subgroup broadcasts, no workgroup
   * memory: for software adapters. `tile`: tiles staged in workgroup memory: for GPUs.
   */
  readonly path: "subgroup" | "tile";
  /** Lanes of a subgroup; 0 where subgroup operations cannot be used. */
  readonly subgroupSize: number;
  /**
   * Activations, their gradients and the weights of products lie in memory as float16, where the device has `shader-f16`;
   * everything else stays float32. See storage.ts.
   */
  readonly half?: boolean;
  /** What picks among candidates; the first candidate, which a rule puts there, unless given. */
  readonly choose?: Choose;
}

/**
 * Picks one of several ways to compute the same, and always the same one for the same key.
 *
 * @param key what is computed, with all sizes
 * @param candidates their names, the one that suits by rule first
 */
export type Choose = (key: string, candidates: readonly string[]) => string;

/** The candidate for `key` on a target. */
export function choose({ choose }: KernelTarget, key: string, candidates: readonly string[]): string {
  return choose && candidates.length > 1 ? choose(key, candidates) : candidates[0];
}
