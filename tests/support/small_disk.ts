/** Disks that are soon full: a small file system of its own for a process, which takes root or user namespaces. */

const unshare = Deno.build.os === "linux" ? (Deno.uid() === 0 ? ["-m"] : ["-rm"]) : undefined;

/**
 * The command that runs `script` of `sh`, with `args`, where a file system of so many KiB is mounted at its first
 * argument.
 */
export function onSmallDisk(kibibytes: number, script: string, args: readonly string[]): string[] {
  const mount = `mount -t tmpfs -o size=${kibibytes}k none "$1" && ${script}`;
  return ["unshare", ...unshare ?? [], "sh", "-c", mount, "sh", ...args];
}

/** Whether a process may do so here. */
export const canMount: boolean = unshare !== undefined && await (async () => {
  const [command, ...args] = onSmallDisk(4, "true", ["/tmp"]);
  return await new Deno.Command(command, { args }).output().then(({ success }) => success, () => false);
})();
