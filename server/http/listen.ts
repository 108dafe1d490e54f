/**
 * The socket: opened first, so that an address that cannot be had is known before a model is loaded.
 *
 * @module
 */
import { DenoiseError } from "../../lib/errors.ts";
import type { Log } from "../log.ts";
import type { ServerSettings } from "../settings.ts";
import { ProblemError, problemResponse } from "./problem.ts";
import { type HostCheck, hostCheck } from "./hosts.ts";

/** Milliseconds after which to listen again when the system has no descriptor for another connection. */
const PAUSE = 500;
/** Milliseconds without a new request after which all clients are taken to wait for an answer, or to want none. */
const QUIET = 200;
/** Milliseconds that a server which is to end waits for that at most. */
const LINGER = 2000;

/** Answers a request. */
export type Handler = (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;

/** The open socket. */
export interface Listening {
  readonly addr: Deno.NetAddr;
  /**
   * Takes no more connections. Resolves when every answer that was begun is sent.
   *
   * What is sent at this very moment, on a new connection or on one kept open, would get no answer. So answers are held
   * back before: a client that waits for one sends nothing else. They leave when no more requests come.
   */
  shutdown(): Promise<void>;
}

/**
 * Listens, with {@linkcode starting} as the handler until another is given to `use`. A server that can take no more
 * connections, as one that ran out of descriptors, finishes the answers that it has begun, closes connections on which
 * nothing is asked, and listens again in a moment.
 *
 * `Deno.serve` knows no timeouts, and hands no connection out to be closed: what is silent stays open until that
 * happens, or for good.
 *
 * @throws {DenoiseError} where the address is in use, or is none of this machine's
 */
export function listen(
  settings: Pick<ServerSettings, "host" | "port" | "freePorts" | "publicUrl" | "tokenFile">,
  log: Log,
): { readonly server: Listening; use(handler: Handler): void } {
  const { host, port, freePorts, tokenFile } = settings;
  let handler: Handler = starting(hostCheck(settings, tokenFile !== undefined));
  let ending = false;
  let lastAsked = -Infinity;
  /** Answers wait for it while the server is about to end. */
  let leave: Promise<void> | undefined;
  /** Of servers that could take no more connections. */
  const ends = new Set<Promise<void>>();
  const serve = (port: number) =>
    Deno.serve({ hostname: host, port, onListen() {} }, async (request, info) => {
      lastAsked = performance.now();
      const response = await handler(request, info);
      if (leave) {
        await leave;
        response.headers.set("Connection", "close");
      }
      return request.method === "HEAD" ? withoutLength(response) : response;
    });

  /** Listens as soon as one can. */
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
      log.error("no connection can be taken; listening again in a moment", {}, error);
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
        while (performance.now() < Math.min(lastAsked + QUIET, latest)) {
          await new Promise((resolve) => setTimeout(resolve, QUIET / 10));
        }
        ending = true;
        // One that takes no more connections is being ended already, and may say that it cannot be ended twice.
        const ended = Promise.allSettled([server.shutdown(), ...ends]);
        answers.resolve();
        await ended;
      },
    },
    use: (other) => handler = other,
  };
}

/** A server on the first of some ports that nobody listens on. */
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
  const advice = "end what listens there, or choose another --port; 0 takes any that is free";
  throw new DenoiseError(`${host}:${all} ${verb} in use: ${advice}`);
}

/** An answer to HEAD that tells no length: `Deno.serve` would say of an answer without a body that it is 0 bytes long. */
function withoutLength(response: Response): Response {
  if (response.body || response.headers.has("Content-Length") || [204, 304].includes(response.status)) {
    return response;
  }
  return new Response(new Blob([]).stream(), response);
}

/** Answers while the model is being loaded: the process lives, and can do nothing yet. */
export function starting(checkHost: HostCheck): (request: Request) => Response {
  return (request) => {
    const instance = `urn:uuid:${crypto.randomUUID()}`;
    const wrong = checkHost(request);
    if (wrong) return problemResponse(wrong, instance);
    if (new URL(request.url).pathname === "/healthz") return Response.json({ status: "ok" });
    const problem = new ProblemError(
      503,
      "starting",
      "the model is being loaded; try again in some seconds",
      {
        headers: { "Retry-After": "5" },
      },
    );
    return problemResponse(problem, instance);
  };
}
