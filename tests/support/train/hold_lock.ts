/** Child process of durable_test.ts: locks the directory of its argument, prints that, and holds the lock until killed. */
import { lockDirectory } from "../../../lib/files/directory_lock.ts";

await lockDirectory(Deno.args[0]);
console.log("locked");
setInterval(() => {}, 1000);
