/**
 * Differences between WGSL compilers: subgroup operations need `enable subgroups;` in Dawn and in browsers, and Deno's
 * compiler rejects that line.
 *
 * @module
 */

/** Text that a compiler needs before a kernel that uses subgroup operations; undefined if it compiles no such kernel. */
export type SubgroupDirective = "" | "enable subgroups;" | undefined;

/** Finds out how a device's compiler takes subgroup operations. */
export async function subgroupDirective(device: GPUDevice): Promise<SubgroupDirective> {
  for (const directive of ["", "enable subgroups;"] as const) {
    device.pushErrorScope("validation");
    device.createShaderModule({ code: directive + PROBE, label: "subgroup probe" });
    if (await device.popErrorScope() === null) return directive;
  }
  return undefined;
}

const PROBE = `@compute @workgroup_size(8)
fn main(@builtin(subgroup_invocation_id) lane: u32) {
  _ = subgroupBroadcast(lane, 0u);
}`;

/** Subgroup operations (`subgroupAdd`), builtin values (`subgroup_size`) and matrices (`subgroup_matrix_left`). */
const USES_SUBGROUPS = /\bsubgroup(?:[A-Z]|_)/;

/** A kernel's text with the directives that the compiler needs. It stays in the same line, as its messages number lines. */
export function withDirectives(code: string, subgroups: SubgroupDirective): string {
  return subgroups && USES_SUBGROUPS.test(code) ? subgroups + code : code;
}
