/** A file server on this machine whose connections can break, for tests of downloads. */

/** Behaviour of a {@linkcode ModelServer}; may change between requests. */
export interface Behaviour {
  /** Contents by path, without the leading slash. */
  files: Record<string, Uint8Array<ArrayBuffer> | string>;
  /** Bytes of a body after which the connection breaks. */
  breakAfter?: number;
  /** Send no validator, so that no download can be resumed. */
  withoutTag?: true;
  /** Send no length. */
  withoutLength?: true;
  /** Paths that redirect, and where to. */
  redirects?: Record<string, string>;
}

/** A request that was answered: path, and the range that was asked for. */
export type Asked = readonly [path: string, range: string | null];

/** Runs `body` with a server. */
export async function withModelServer(
  behaviour: Behaviour,
  body: (base: string, asked: Asked[]) => Promise<void>,
): Promise<void> {
  const asked: Asked[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const path = new URL(request.url).pathname.slice(1);
    const range = request.headers.get("range");
    asked.push([path, range]);
    const location = behaviour.redirects?.[path];
    if (location !== undefined) return new Response(null, { status: 302, headers: { location } });
    const content = Object.hasOwn(behaviour.files, path) ? behaviour.files[path] : undefined;
    if (content === undefined) return new Response("<html>no such file</html>", { status: 404 });
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    return answer(bytes, range, request.headers.get("if-range"), behaviour);
  });
  try {
    await body(`http://127.0.0.1:${server.addr.port}`, asked);
  } finally {
    await server.shutdown();
  }
}

function answer(
  bytes: Uint8Array<ArrayBuffer>,
  range: string | null,
  ifRange: string | null,
  { breakAfter, withoutTag, withoutLength }: Behaviour,
): Response {
  const tag = `"${bytes.length}-${bytes.reduce((sum, byte) => (31 * sum + byte) >>> 0, 7)}"`;
  const first = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const partial = range !== null && ifRange === tag;
  const headers: Record<string, string> = withoutTag ? {} : { etag: tag };
  if (partial && first >= bytes.length) {
    return new Response(null, {
      status: 416,
      headers: { ...headers, "content-range": `bytes */${bytes.length}` },
    });
  }
  const body = partial ? bytes.subarray(first) : bytes;
  if (partial) headers["content-range"] = `bytes ${first}-${bytes.length - 1}/${bytes.length}`;
  if (!withoutLength) headers["content-length"] = String(body.length);
  const breaks = breakAfter !== undefined && breakAfter < body.length;
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async start(controller) {
      controller.enqueue(breaks ? body.slice(0, breakAfter) : body.slice());
      // So that the bytes arrive before the connection breaks.
      if (breaks) await new Promise((resolve) => setTimeout(resolve, 50));
      if (breaks) controller.error(new Error("broken"));
      else controller.close();
    },
  });
  return new Response(stream, { status: partial ? 206 : 200, headers });
}
