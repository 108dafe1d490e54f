/**
 * Bearer tokens: the server's one token, or the API keys of its clients with their limits.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { createMiddleware } from "hono/factory";
import { type ApiKey, limitedSettings } from "../keys/api_key.ts";
import type { ServerSettings } from "../settings.ts";
import type { ServerContext } from "./context.ts";
import type { PlanSettings } from "./plan.ts";
import { ProblemError } from "./problem.ts";
import type { AppEnv } from "./request.ts";

/** What a server knows its clients by; both undefined: it knows them by their addresses, and asks for nothing. */
export type Credentials = Pick<ServerContext, "token" | "keys">;

/** True if requests must carry a token or a key. */
export function requiresToken({ token, keys }: Credentials): boolean {
  return token !== undefined || keys !== undefined;
}

/** Requires the token or an API key, if the server has them. A key is the client of its requests, whatever their addresses. */
export function authenticate(credentials: Credentials): MiddlewareHandler<AppEnv> {
  return createMiddleware<AppEnv>(async (c, next) => {
    const { key, refused } = checkToken(c.req.header("Authorization"), credentials);
    if (refused !== undefined) {
      throw new ProblemError(401, "unauthorized", `Authorization: ${refused}`, {
        headers: { "WWW-Authenticate": `Bearer realm="denoise"` },
      });
    }
    if (key) {
      c.set("key", key);
      c.set("client", ownerOf(key));
      if (draws(c)) limitRate(key, credentials);
    }
    await next();
  });
}

/** Name of a key as a client, which owns its jobs. */
export function ownerOf({ id }: Pick<ApiKey, "id">): string {
  return `key:${id}`;
}

/** Id of the key that is this client; undefined for an address. */
export function keyIdOf(client: string): string | undefined {
  return /^key:(.*)$/.exec(client)?.[1];
}

/** Requests that count towards a key's rate, by method and path. */
const DRAWING = /^(GET [/]generate([/]stream)?|POST [/]v1[/]images[/](generations|edits)|POST [/]jobs)$/;

function draws(c: Context<AppEnv>): boolean {
  return DRAWING.test(`${c.req.method} ${c.req.path}`);
}

/** @throws {ProblemError} 429 beyond the key's requests a minute */
function limitRate(key: ApiKey, { keys }: Credentials): void {
  const seconds = Math.ceil(keys?.take(key) ?? 0);
  if (seconds === 0) return;
  const detail = `the API key ${key.name} may send ${key.limits.perMinute} requests for images a minute; ` +
    `the next one in ${seconds} s`;
  throw new ProblemError(429, "too_many_requests", detail, { headers: { "Retry-After": String(seconds) } });
}

/**
 * Requires a key that may administer the server, where there are keys.
 *
 * @throws {ProblemError} 403 for another key
 */
export function requireAdmin({ var: { key } }: Context<AppEnv>): void {
  if (!key || key.admin) return;
  const detail = `the API key ${key.name} may not do this; only keys that were added with --admin may`;
  throw new ProblemError(403, "not_admin", detail);
}

/** The server's settings with the limits of a request's key. */
export function settingsFor(c: Context<AppEnv>, settings: ServerSettings): ServerSettings & PlanSettings {
  return limitedSettings(settings, c.var.key);
}

/** Checks an Authorization header: the key that it carries, or why it is refused. */
function checkToken(
  header: string | undefined,
  { token, keys }: Credentials,
): { readonly key?: ApiKey; readonly refused?: string } {
  const given = /^Bearer +(\S+) *$/i.exec(header ?? "")?.[1];
  if (keys) return given === undefined ? { refused: "the API key is missing" } : keys.find(given);
  if (token === undefined) return {};
  // Digests have equal lengths, so the time reveals neither the token's length nor a matching prefix.
  const right = timingSafeEqual(digest(given ?? ""), digest(token)) && given !== undefined;
  return right ? {} : { refused: `the bearer token is ${given === undefined ? "missing" : "wrong"}` };
}

/** True if an Authorization header carries the token or a key, or the server asks for none. */
export function isAuthorized(header: string | undefined, credentials: Credentials): boolean {
  return checkToken(header, credentials).refused === undefined;
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
