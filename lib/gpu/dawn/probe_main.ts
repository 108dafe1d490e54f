/**
 * Program of a trial of Dawn: opens a device, with the unsafe toggles given as arguments, and says so or why not.
 *
 * @module
 */
import { dawn } from "./instance.ts";
import { endWithParent } from "./orphan.ts";
import { OPENED } from "./probe.ts";

endWithParent();
try {
  const adapter = await (await dawn(Deno.args)).requestAdapter({ powerPreference: "high-performance" });
  // Without an adapter the main program says what to install.
  const device = await adapter?.requestDevice();
  await device?.queue.onSubmittedWorkDone();
  console.log(OPENED);
} catch (error) {
  console.log(`failed: ${(error as Error).message.split("\n")[0]}`);
}
Deno.exit(0);
