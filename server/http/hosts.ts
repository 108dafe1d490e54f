/**
 * Host header validation against DNS rebinding. A page of another site can have its own name point at this machine (DNS
 * rebinding), and would then be of the server's origin: a server that asks for no token answers to its own names only.
 *
 * @module
 */
import { isIP } from "node:net";
import { brief, ProblemError } from "./problem.ts";
import type { ServerSettings } from "../settings.ts";

/** Why a request's host is refused; undefined where it is not. */
export type HostCheck = (request: Request) => ProblemError | undefined;

/**
 * Makes the check of hosts.
 *
 * With a token, any name will do. Without one: `localhost`, the name or address that the server listens on, that of
 * its public URL, and every IP address, since rebinding takes a name. Beyond loopback, where whole networks reach the
 * server, also what only the local network resolves: names without a dot and those below `.local`.
 *
 * @param hasToken whether requests must carry a token
 */
export function hostCheck(
  { host, publicUrl }: Pick<ServerSettings, "host" | "publicUrl">,
  hasToken: boolean,
): HostCheck {
  const bound = nameOf(host.includes(":") ? `[${host}]` : host);
  const local = /^(localhost|127\..*|\[::1\])$/.test(bound);
  const own = new Set(["localhost", "127.0.0.1", "[::1]"]);
  if (bound !== "0.0.0.0" && bound !== "[::]") own.add(bound);
  if (publicUrl !== undefined) own.add(nameOf(new URL(publicUrl).host));
  const allows = (name: string) =>
    own.has(name) || isAddress(name) || name.endsWith(".localhost") ||
    !local && (!name.includes(".") || name.endsWith(".local"));
  const known = [...own].join(", ");

  return (request) => {
    const { headers, url } = request;
    const host = headers.get("Host"); // HTTP/1.0 may do without, HTTP/2 does
    if (!URL.canParse(url) || host !== null && !isPlain(host)) return badHost();
    if (hasToken) return undefined;
    // An absolute address in the request line counts, too.
    const asked = [new URL(url).host, ...host === null ? [] : [host]];
    const wrong = asked.find((name) => !allows(nameOf(name)));
    if (wrong === undefined) return undefined;
    const allowed = `${known} or another IP address; --public-url URL adds a name`;
    return new ProblemError(421, "unknown_host", `Host: expected ${allowed}, got ${brief(wrong)}`, {
      errors: [{ field: "Host", value: wrong, allowed }],
    });
  };
}

/** A name or an address, with or without a port: the address of a request is made of it, and so would be the route. */
function isPlain(host: string): boolean {
  return /^([\w.-]+|\[[\da-f:.]+\])(:\d+)?$/i.test(host);
}

function badHost(): ProblemError {
  return new ProblemError(
    400,
    "bad_host",
    "the Host header must be a name or an address, with or without a port",
  );
}

/** A host without its port, in lower case; addresses in their usual form. */
function nameOf(host: string): string {
  return (URL.parse(`http://${host}`)?.hostname ?? host).replace(/\.$/, "");
}

/** Whether it is an IP address; version 6 has brackets. */
function isAddress(name: string): boolean {
  return isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0;
}
