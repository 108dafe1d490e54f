/** Locks the directory of its argument, says so, and holds it until it is killed; a process of durable_test.ts. */
import { lockDirectory } from "../../../lib/files/directory_lock.ts";

await lockDirectory(Deno.args[0]);
console.log("locked");
setInterval(() => {}, 1000);
