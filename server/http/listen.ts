/**
 * Listening socket. It is bound before the model is loaded, so that an unavailable address fails fast.
 *
 * @module
 */
import { DenoiseError } from "../../lib/errors.ts";
import type { Log } from "../log.ts";
import type { ServerSettings } from "../settings.ts";
import { ProblemError, problemResponse } from "./problem.ts";
import { type HostCheck, hostCheck } from "./hosts.ts";

/** Milliseconds before listening again after accepting connections failed, as without free file descriptors. */
const PAUSE = 500;
/** Milliseconds without a new request after which no client is assumed to be sending one. */
const QUIET = 200;
/** Longest wait for {@linkcode QUIET} on shutdown, in milliseconds. */
const LINGER = 2000;

/** Request handler, as for `Deno.serve`. */
export type Handler = (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;

/** A listening server. */
export interface Listening {
  readonly addr: Deno.NetAddr;
  /**
   * Stops accepting connections. Resolves when all responses in progress have been sent.
   *
   * A request that arrives while the socket closes, on a new or a keep-alive connection, would get no response. So
   * responses are held back until requests stop arriving: a client that waits for one sends no other request.
   */
  shutdown(): Promise<void>;
}

/**
 * Listens, with {@linkcode starting} as the handler until `use` sets another. When accepting connections fails, as without
 * free file descriptors, the server finishes its responses, closes idle connections, and listens again after
 * {@linkcode PAUSE}.
 *
 * `Deno.serve` has no timeouts and does not expose connections, so idle ones are closed only then.
 *
 * @throws {DenoiseError} when the address is in use, or is not one of this machine's
 */
export function listen(
  settings: Pick<ServerSettings, "host" | "port" | "freePorts" | "publicUrl" | "tokenFile" | "keys">,
  log: Log,
): { readonly server: Listening; use(handler: Handler): void } {
  const { host, port, freePorts, tokenFile, keys } = settings;
  let handler: Handler = starting(hostCheck(settings, (tokenFile ?? keys) !== undefined));
  let ending = false;
  let lastRequest = -Infinity;
  /** Resolves when responses may be sent during shutdown. */
  let leave: Promise<void> | undefined;
  /** Shutdowns of servers that could not accept connections. */
  const ends = new Set<Promise<void>>();
  const serve = (port: number) =>
    Deno.serve({ hostname: host, port, onListen() {} }, async (request, info) => {
      lastRequest = performance.now();
      const response = await handler(request, info);
      if (leave) {
        await leave;
        response.headers.set("Connection", "close");
      }
      return request.method === "HEAD" ? withoutLength(response) : response;
    });

  /** Listens again, retrying until it succeeds. */
  const again = (port: number) => {
    if (ending) return;
    try {
      server = serve(port);
      watch();
      log.info("listening again");
    } catch {
      setTimeout(again, PAUSE, port);
    }
  };
  const watch = () => {
    const old = server;
    old.finished.catch((error) => {
      log.error("cannot accept connections; listening again shortly", {}, error);
      const end = old.shutdown().catch(() => {}).finally(() => ends.delete(end));
      ends.add(end);
      setTimeout(again, PAUSE, old.addr.port);
    });
  };

  let server = firstFree(host, port === 0 && freePorts ? freePorts : [port], serve);
  watch();
  return {
    server: {
      addr: server.addr,
      async shutdown() {
        const answers = Promise.withResolvers<void>();
        leave = answers.promise;
        const latest = performance.now() + LINGER;
        while (performance.now() < Math.min(lastRequest + QUIET, latest)) {
          await new Promise((resolve) => setTimeout(resolve, QUIET / 10));
        }
        ending = true;
        // A server that failed is shutting down already, and may reject a second shutdown.
        const ended = Promise.allSettled([server.shutdown(), ...ends]);
        answers.resolve();
        await ended;
      },
    },
    use: (other) => handler = other,
  };
}

/** Listens on the first free port of a list. */
function firstFree<T>(host: string, ports: readonly number[], serve: (port: number) => T): T {
  for (const port of ports) {
    try {
      return serve(port);
    } catch (error) {
      if (error instanceof Deno.errors.AddrInUse) continue;
      throw new DenoiseError(`cannot listen on ${host}:${port}: ${(error as Error).message}`);
    }
  }
  const [all, verb] = ports.length === 1 ? [ports, "is"] : [`${ports.join(", ")} (chosen at random)`, "are"];
  const advice = "stop the process that listens there, or choose another --port (0: any free port)";
  throw new DenoiseError(`${host}:${all} ${verb} in use: ${advice}`);
}

/** Response to HEAD without Content-Length: `Deno.serve` would send `Content-Length: 0` for an absent body. */
function withoutLength(response: Response): Response {
  if (response.body || response.headers.has("Content-Length") || [204, 304].includes(response.status)) {
    return response;
  }
  return new Response(new Blob([]).stream(), response);
}

/** Handler while the model is loading: `/healthz` answers 200, everything else 503. */
export function starting(checkHost: HostCheck): (request: Request) => Response {
  return (request) => {
    const instance = `urn:uuid:${crypto.randomUUID()}`;
    const wrong = checkHost(request);
    if (wrong) return problemResponse(wrong, instance);
    if (new URL(request.url).pathname === "/healthz") return Response.json({ status: "ok" });
    const problem = new ProblemError(
      503,
      "starting",
      "the model is loading; try again in a few seconds",
      {
        headers: { "Retry-After": "5" },
      },
    );
    return problemResponse(problem, instance);
  };
}
