/**
 * The socket: opened first, so that an address that cannot be had is known before a model is loaded.
 *
 * @module
 */
import { DenoiseError } from "../../lib/errors.ts";
import { ProblemError, problemResponse } from "./problem.ts";
import type { ServerSettings } from "../settings.ts";

/** Answers a request. */
export type Handler = (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;

/**
 * Listens, with {@linkcode starting} as the handler until another is given to `use`.
 *
 * @throws {DenoiseError} where the address is in use, or is none of this machine's
 */
export function listen(
  { host, port }: Pick<ServerSettings, "host" | "port">,
): { readonly server: Deno.HttpServer<Deno.NetAddr>; use(handler: Handler): void } {
  let handler: Handler = starting;
  try {
    const options = { hostname: host, port, onListen() {} };
    const server = Deno.serve(options, (request, info) => handler(request, info));
    return { server, use: (other) => handler = other };
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      const advice = "end what listens there, or choose another --port; 0 takes any that is free";
      throw new DenoiseError(`${host}:${port} is in use: ${advice}`);
    }
    throw new DenoiseError(`cannot listen on ${host}:${port}: ${(error as Error).message}`);
  }
}

/** Answers while the model is being loaded: the process lives, and can do nothing yet. */
export function starting(request: Request): Response {
  if (new URL(request.url).pathname === "/healthz") return Response.json({ status: "ok" });
  const problem = new ProblemError(503, "starting", "the model is being loaded; try again in some seconds", {
    headers: { "Retry-After": "5" },
  });
  return problemResponse(problem, `urn:uuid:${crypto.randomUUID()}`);
}
