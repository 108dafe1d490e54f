/**
 * Program of a trial of Dawn: opens a device, with the unsafe toggles given as arguments, and says so or why not.
 *
 * @module
 */
import { DawnError } from "./error.ts";
import { dawn } from "./instance.ts";
import { endWithParent } from "./orphan.ts";
import { OPENED, VERDICT } from "./probe.ts";

endWithParent();

/** Prints the result on a line of its own, even if a library has begun one. */
function conclude(verdict: string): void {
  console.log(`\n${VERDICT}${verdict}`);
}

try {
  const adapter = await (await dawn(Deno.args)).requestAdapter({ powerPreference: "high-performance" });
  // Without an adapter the main program says what to install.
  const device = await adapter?.requestDevice();
  await device?.queue.onSubmittedWorkDone();
  conclude(OPENED);
} catch (error) {
  const reason = error instanceof DawnError ? error.reason : (error as Error).message;
  conclude(`failed: ${reason.split("\n")[0]}`);
}
Deno.exit(0);
