/** A server as `deno task serve` starts it, ready to draw. */
import { startTask } from "./command.ts";

/**
 * Runs `body` with the server's address once its model is loaded.
 *
 * @param args further flags of the task
 * @param directory in which it runs
 */
export async function withServeTask(
  args: readonly string[],
  directory: string,
  body: (address: string) => Promise<void>,
): Promise<void> {
  const server = startTask("serve", ["--port", "0", ...args], directory);
  try {
    const line = await server.until((line) => line.includes("http://"));
    const address = /http:\/\/[\d.]+:\d+/.exec(line)![0];
    await untilReady(address);
    await body(address);
  } finally {
    server.child.kill("SIGTERM");
    await server.outcome();
  }
}

/** Waits for the model, which a server loads after it listens. */
async function untilReady(address: string): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const answer = await fetch(`${address}/readyz`);
    await answer.body?.cancel();
    if (answer.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the server does not become ready");
}
