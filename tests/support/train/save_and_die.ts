/**
 * Child process of checkpoint_crash_test.ts: saves an example checkpoint and kills itself with SIGKILL at a phase of the
 * save. Arguments: run directory, step, variant, number of checkpoints to keep, number of the phase.
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
    await new Promise(() => setInterval(() => {}, 1000)); // never continues
  },
});
