/** Child process of signals_test.ts: supervises `deno eval` of its argument, and prints the exit code. */
import { exitCodeOf } from "../../terminal/signals.ts";

const child = new Deno.Command(Deno.execPath(), { args: ["eval", Deno.args[0]!] }).spawn();
console.log(await exitCodeOf(child, "the process on Dawn", "use --backend deno"));
Deno.exit(0);
