/**
 * Driver version of an adapter, which WebGPU does not report.
 *
 * @module
 */
import type { AdapterDescription } from "../gpu/device.ts";

/** Version of the NVIDIA or Mesa driver, e.g. `Mesa 25.0.7-2`; `unknown` on other systems or without read permission. */
export function driverVersion({ software }: Pick<AdapterDescription, "software">): string {
  const nvidia = software ? undefined : nvidiaVersion(LIBRARIES.flatMap(namesIn));
  if (nvidia) return `NVIDIA ${nvidia}`;
  const mesa = read("/var/lib/dpkg/status")
    ?.match(/^Package: mesa-vulkan-drivers\n(?:.+\n)*?Version: (.+)$/m)?.[1];
  return mesa ? `Mesa ${mesa}` : "unknown";
}

/** Directories with the driver's libraries, in distributions and containers. */
const LIBRARIES = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];

/**
 * The version in the names of NVIDIA's libraries, e.g. `libGLX_nvidia.so.580.159.04`. The kernel's own file below /proc
 * says it, too, but Deno lets only programs with all permissions read there.
 */
export function nvidiaVersion(names: readonly string[]): string | undefined {
  const versions = names.map((name) => /^libGLX_nvidia\.so\.(\d+\.[\d.]+)$/.exec(name)?.[1]);
  return versions.find((version) => version !== undefined);
}

function namesIn(path: string): string[] {
  return attempt(path, () => [...Deno.readDirSync(path)].map(({ name }) => name)) ?? [];
}

function read(path: string): string | undefined {
  return attempt(path, () => Deno.readTextFileSync(path));
}

function attempt<T>(path: string, look: () => T): T | undefined {
  try {
    // Query first, because reading would prompt for the permission.
    if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return undefined;
    return look();
  } catch {
    return undefined; // not present on this system
  }
}
