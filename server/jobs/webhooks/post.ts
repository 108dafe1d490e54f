/**
 * One HTTP request for a webhook. `fetch` would look up a name again after its address was checked, follow redirects and read answers
 * of any length; here the address of the connection itself is checked, before anything is sent, and only the head of the answer is
 * read.
 *
 * @module
 */
import { hostOf, mayConnect, portOf, type WebhookHost } from "./target.ts";

/** Maximum bytes of the head of an answer. */
const MAX_HEAD = 16_384;

/** Head of an answer. */
export interface WebhookAnswer {
  readonly status: number;
  /** Seconds of a Retry-After header. */
  readonly retryAfter?: number;
}

/** A request to send. */
export interface WebhookPost {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string;
  /** Hosts that are allowed, for addresses that are not public. */
  readonly hosts: readonly WebhookHost[];
  /** Closes the connection when it is aborted. */
  readonly signal: AbortSignal;
}

/**
 * Sends a request, and reads the head of the answer.
 *
 * @throws {Error} saying what failed
 */
export async function postWebhook(
  { url, headers, body, hosts, signal }: WebhookPost,
): Promise<WebhookAnswer> {
  const hostname = hostOf(url);
  const tcp = await abortable(Deno.connect({ hostname, port: portOf(url) }), signal);
  let connection: Deno.Conn = tcp;
  const close = () => closeQuietly(connection);
  signal.addEventListener("abort", close);
  try {
    const { hostname: address } = tcp.remoteAddr as Deno.NetAddr;
    if (!mayConnect(address, hosts)) throw new Error("the host has a private address, which is not listed");
    if (url.protocol === "https:") {
      const tls = await Deno.startTls(tcp, { hostname, alpnProtocols: ["http/1.1"] });
      connection = tls;
      await tls.handshake();
    }
    await writeAll(connection, requestText(url, headers, body));
    return await readAnswer(connection);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw error;
  } finally {
    signal.removeEventListener("abort", close);
    close();
  }
}

/** A connection that is made after the signal was aborted is closed. */
async function abortable(connecting: Promise<Deno.TcpConn>, signal: AbortSignal): Promise<Deno.TcpConn> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => {
    aborted.reject(signal.reason);
    connecting.then(closeQuietly, () => {});
  };
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([connecting, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function closeQuietly(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It is closed already.
  }
}

function requestText(url: URL, headers: Readonly<Record<string, string>>, body: string): Uint8Array {
  const bytes = new TextEncoder().encode(body);
  const all = {
    "Host": url.host,
    "Content-Type": "application/json",
    "Content-Length": String(bytes.length),
    "User-Agent": "denoise",
    "Connection": "close",
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = new TextEncoder().encode(
    `POST ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join("")}\r\n`,
  );
  const text = new Uint8Array(head.length + bytes.length);
  text.set(head);
  text.set(bytes, head.length);
  return text;
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

/** Reads until the end of the head of the final answer. */
async function readAnswer(connection: Deno.Conn): Promise<WebhookAnswer> {
  const decoder = new TextDecoder("latin1");
  const buffer = new Uint8Array(4096);
  let text = "";
  while (text.length <= MAX_HEAD) {
    const end = text.indexOf("\r\n\r\n");
    if (end >= 0) {
      const answer = parseHead(text.slice(0, end));
      if (answer.status >= 200) return answer;
      text = text.slice(end + 4); // 100 to 199 are provisional
      continue;
    }
    const read = await connection.read(buffer);
    if (read === null) throw new Error("the connection was closed without an answer");
    text += decoder.decode(buffer.subarray(0, read));
  }
  throw new Error(`the head of the answer has more than ${MAX_HEAD} bytes`);
}

function parseHead(head: string): WebhookAnswer {
  const [, status] = /^HTTP\/1\.[01] ([1-9]\d\d)(?: |\r\n|$)/.exec(head) ?? [];
  if (status === undefined) throw new Error("the answer is not HTTP/1.1");
  const [, seconds] = /^retry-after:[ \t]*(\d{1,9})[ \t]*$/im.exec(head) ?? [];
  return { status: Number(status), ...(seconds === undefined ? {} : { retryAfter: Number(seconds) }) };
}
