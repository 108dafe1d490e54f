/** The application on a real socket, and connections that send arbitrary bytes. */
import { listen } from "../../../server/http/listen.ts";
import { JsonLog } from "../../../server/log.ts";
import { type Harness, harness, type HarnessOptions } from "./harness.ts";
import { soon } from "./process.ts";

/** Runs `run` with a server on a fake engine that listens on 127.0.0.1. */
export async function overSocket(
  options: HarnessOptions,
  run: (server: Harness, port: number) => Promise<void>,
): Promise<void> {
  const application = harness(options);
  const { server, use } = listen({ host: "127.0.0.1", port: 0 }, new JsonLog(() => {}));
  use(application.app.fetch);
  try {
    await run(application, server.addr.port);
  } finally {
    await server.shutdown();
  }
}

/** Sends text unchanged, and reads until the head of a response is complete or the connection ends. */
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

/** A response as received. */
export interface RawAnswer {
  readonly status: number;
  /** Names in lower case, in order of arrival. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

/** Sends text as Latin-1, and returns all responses until the server closes the connection. */
export async function converse(port: number, sent: string): Promise<RawAnswer[]> {
  using connection = await Deno.connect({ port });
  const bytes = Uint8Array.from(sent, (character) => character.charCodeAt(0));
  const writing = (async () => {
    for (let from = 0; from < bytes.length;) from += await connection.write(bytes.subarray(from));
  })().catch(() => {}); // A server that refuses stops reading.
  let received = "";
  const buffer = new Uint8Array(65_536);
  while (true) {
    const length = await soon(connection.read(buffer).catch(() => null), `the end after ${brief(sent)}`);
    if (length === null) break;
    for (const byte of buffer.subarray(0, length)) received += String.fromCharCode(byte);
  }
  await writing;
  return parseAnswers(received);
}

function brief(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}

/** Parses responses; throws on bytes between them. */
function parseAnswers(text: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  while (text !== "") {
    const end = text.indexOf("\r\n\r\n");
    const [, status] = /^HTTP\/1\.[01] (\d{3}) /.exec(text) ?? [];
    if (status === undefined || end < 0) throw new Error(`not an answer: ${brief(text)}`);
    const headers = text.slice(0, end).split("\r\n").slice(1).map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
    text = text.slice(end + 4);
    const value = (name: string) => headers.find(([one]) => one === name)?.[1];
    let body = "";
    if (value("transfer-encoding") === "chunked") {
      while (true) {
        const [line, size] = /^([\da-f]+)\r\n/i.exec(text) ?? [];
        if (line === undefined) throw new Error(`not a chunk: ${brief(text)}`);
        const length = parseInt(size, 16);
        body += text.slice(line.length, line.length + length);
        text = text.slice(line.length + length + 2);
        if (length === 0) break;
      }
    } else {
      const length = Number(value("content-length") ?? 0);
      body = text.slice(0, length);
      text = text.slice(length);
    }
    answers.push({ status: Number(status), headers, body });
  }
  return answers;
}
