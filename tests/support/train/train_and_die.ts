/**
 * Child process of resume_test.ts: trains and kills itself with SIGKILL two steps after a checkpoint. Arguments: run
 * directory, step of the checkpoint.
 */
import { run } from "./micro.ts";
import { RUN_SETTINGS } from "./uninterrupted.ts";

const [out, fatal] = Deno.args;
await run({ ...RUN_SETTINGS, out }, (event) => {
  if (event.type === "step" && event.step === Number(fatal) + 2) Deno.kill(Deno.pid, "SIGKILL");
  return false;
});
