/**
 * Which of the kernel variants suit the device at hand.
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
}
