/** Small file systems in a process's own mount namespace, for tests of full disks; needs root or user namespaces. */

const unshare = Deno.build.os === "linux" ? (Deno.uid() === 0 ? ["-m"] : ["-rm"]) : undefined;

/**
 * Command that runs a `sh` script with `args`, after mounting a file system of `kibibytes` KiB at the first of them.
 */
export function onSmallDisk(kibibytes: number, script: string, args: readonly string[]): string[] {
  const mount = `mount -t tmpfs -o size=${kibibytes}k none "$1" && ${script}`;
  return ["unshare", ...unshare ?? [], "sh", "-c", mount, "sh", ...args];
}

/** True if this process may mount file systems. */
export const canMount: boolean = unshare !== undefined && await (async () => {
  const [command, ...args] = onSmallDisk(4, "true", ["/tmp"]);
  return await new Deno.Command(command, { args }).output().then(({ success }) => success, () => false);
})();
