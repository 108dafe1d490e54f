/**
 * Child process of resume_test.ts: trains and kills itself with SIGKILL two steps after a checkpoint. Arguments: run
 * directory, step of the checkpoint.
 */
import { microNetwork, run } from "./micro.ts";

const [out, fatal] = Deno.args;
await run({ model: microNetwork({ dropout: 0.1 }), epochs: 3, logEvery: 1, out }, (event) => {
  if (event.type === "step" && event.step === Number(fatal) + 2) Deno.kill(Deno.pid, "SIGKILL");
  return false;
});
