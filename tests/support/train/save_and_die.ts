/**
 * Saves an example checkpoint and kills itself with SIGKILL at one of the save's phases; a process of its own in
 * checkpoint_crash_test.ts. Arguments: run directory, step, variant, how many to keep, number of the phase.
 */
import { saveCheckpoint } from "../../../lib/files/checkpoint.ts";
import { exampleCheckpoint } from "./example_checkpoint.ts";

const [runDir, step, variant, keep, fatal] = Deno.args;
let phases = 0;
await saveCheckpoint(runDir, exampleCheckpoint(Number(step), Number(variant)), {
  keep: Number(keep),
  onPhase: async () => {
    if (phases++ !== Number(fatal)) return;
    Deno.kill(Deno.pid, "SIGKILL");
    await new Promise(() => setInterval(() => {}, 1000)); // never goes on
  },
});
