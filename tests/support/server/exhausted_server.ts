/** Server process that a test can drive out of file descriptors; prints its port, then its log. */
import { listen } from "../../../server/http/listen.ts";
import { JsonLog } from "../../../server/log.ts";

Deno.addSignalListener("SIGTERM", () => Deno.exit()); // as in the real server; installed before descriptors run out
const log = new JsonLog();
const { server, use } = listen({ host: "127.0.0.1", port: 0 }, log);
use(async ({ url }) => {
  if (url.endsWith("/slow")) {
    log.info("slow");
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
  return new Response("well");
});
console.log(JSON.stringify({ message: "port", port: server.addr.port }));
