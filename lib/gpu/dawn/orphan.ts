/**
 * End of a process whose parent is gone.
 *
 * @module
 */

/**
 * Reads standard input to its end, and ends the process. Synchronous, since an asynchronous read never ends while a library
 * that is being loaded blocks the other thread.
 */
const WATCH = `
  import process from "node:process";
  while (Deno.stdin.readSync(new Uint8Array(1)) !== null);
  process.kill(process.pid, "SIGKILL");
`;

/**
 * Ends this process when its standard input ends, which is a pipe that the parent keeps open. A thread of its own watches it,
 * since native code may block this one for good.
 */
export function endWithParent(): void {
  new Worker(`data:text/javascript,${encodeURIComponent(WATCH)}`, { type: "module" });
}
