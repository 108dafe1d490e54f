/**
 * Differences between WGSL compilers: subgroup operations need `enable subgroups;` in Dawn and in browsers, and Deno's
 * compiler rejects that line.
 *
 * @module
 */

/**
 * Directives for compilers that want subgroups enabled. Their uniformity analysis takes the result of `subgroupAny` to vary
 * within a subgroup, and would refuse subgroup operations in branches that depend on it.
 */
const ENABLE = "enable subgroups;diagnostic(off, subgroup_uniformity);";

/** Text that a compiler needs before a kernel that uses subgroup operations; undefined if it compiles no such kernel. */
export type SubgroupDirective = string | undefined;

/** Finds out how a device's compiler takes subgroup operations. */
export async function subgroupDirective(device: GPUDevice): Promise<SubgroupDirective> {
  for (const directive of ["", ENABLE]) {
    device.pushErrorScope("validation");
    device.createShaderModule({ code: directive + PROBE, label: "subgroup probe" });
    if (await device.popErrorScope() === null) return directive;
  }
  return undefined;
}

const PROBE = `@compute @workgroup_size(8)
fn main(@builtin(subgroup_invocation_id) lane: u32) {
  if (subgroupAny(lane == 0u)) { _ = subgroupBroadcast(lane, 0u); }
}`;

/** Subgroup operations (`subgroupAdd`), builtin values (`subgroup_size`) and matrices (`subgroup_matrix_left`). */
const USES_SUBGROUPS = /\bsubgroup(?:[A-Z]|_)/;

/** A kernel's text with the directives that the compiler needs. It stays in the same line, as its messages number lines. */
export function withDirectives(code: string, subgroups: SubgroupDirective): string {
  return subgroups && USES_SUBGROUPS.test(code) ? subgroups + code : code;
}
