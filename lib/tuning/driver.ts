/**
 * The version of an adapter's driver, which WebGPU does not tell.
 *
 * @module
 */
import type { AdapterDescription } from "../gpu/device.ts";

/** The driver's version where the system tells and this process may ask; else `unknown`. */
export function driverVersion({ software }: Pick<AdapterDescription, "software">): string {
  const nvidia = read("/proc/driver/nvidia/version")?.match(/Module\s+(?:for \S+\s+)?([\d.]+)/)?.[1];
  if (nvidia && !software) return `NVIDIA ${nvidia}`;
  const mesa = read("/var/lib/dpkg/status")
    ?.match(/^Package: mesa-vulkan-drivers\n(?:.+\n)*?Version: (.+)$/m)?.[1];
  return mesa ? `Mesa ${mesa}` : "unknown";
}

function read(path: string): string | undefined {
  try {
    // Nobody shall be asked for a permission for this.
    if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return undefined;
    return Deno.readTextFileSync(path);
  } catch {
    return undefined; // another system: the version is a courtesy
  }
}
