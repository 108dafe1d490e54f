/** The application on a real socket, and connections that say whatever a test wants them to. */
import { type Harness, harness, type HarnessOptions } from "./harness.ts";

/** Runs `run` with a server on a fake engine that listens on 127.0.0.1. */
export async function overSocket(
  options: HarnessOptions,
  run: (server: Harness, port: number) => Promise<void>,
): Promise<void> {
  const server = harness(options);
  const listener = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, server.app.fetch);
  try {
    await run(server, listener.addr.port);
  } finally {
    await listener.shutdown();
  }
}

/** Sends text as it is, and reads until the head of an answer is whole or the connection ends. */
export async function talk(port: number, text: string): Promise<string> {
  using connection = await Deno.connect({ port });
  await connection.write(new TextEncoder().encode(text));
  const buffer = new Uint8Array(65_536);
  let received = "";
  while (!received.includes("\r\n\r\n")) {
    const length = await connection.read(buffer);
    if (length === null) break;
    received += new TextDecoder("latin1").decode(buffer.subarray(0, length));
  }
  return received;
}
