/**
 * Host header validation against DNS rebinding: another site can point its own name at this machine, so that its pages have
 * the server's origin. Without a token, a server therefore accepts its own names only.
 *
 * @module
 */
import { isIP } from "node:net";
import { brief, ProblemError } from "./problem.ts";
import type { ServerSettings } from "../settings.ts";

/** Checks the host of a request; returns an error, or undefined if it is accepted. */
export type HostCheck = (request: Request) => ProblemError | undefined;

/**
 * Creates the host check.
 *
 * With a token, any name is accepted. Without one: `localhost`, the name or address that the server listens on, that of its
 * public URL, and every IP address, since rebinding requires a name. If the server listens beyond loopback, also names that
 * only the local network resolves: those without a dot and those under `.local`.
 *
 * @param hasToken requests must carry a token
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
    const host = headers.get("Host"); // optional in HTTP/1.0, absent in HTTP/2
    if (!URL.canParse(url) || host !== null && !isPlain(host)) return badHost();
    if (hasToken) return undefined;
    // Includes the host of an absolute URL in the request line.
    const asked = [new URL(url).host, ...host === null ? [] : [host]];
    const wrong = asked.find((name) => !allows(nameOf(name)));
    if (wrong === undefined) return undefined;
    const allowed = `${known} or another IP address; --public-url URL adds a name`;
    return new ProblemError(421, "unknown_host", `Host: expected ${allowed}, got ${brief(wrong)}`, {
      errors: [{ field: "Host", value: wrong, allowed }],
    });
  };
}

/** Name or address with optional port. The request's URL is built from it, so other characters could change the route. */
function isPlain(host: string): boolean {
  return /^([\w.-]+|\[[\da-f:.]+\])(:\d+)?$/i.test(host);
}

function badHost(): ProblemError {
  return new ProblemError(
    400,
    "bad_host",
    "Host: expected a name or an address, with an optional port",
  );
}

/** Host without port, in lower case; addresses in canonical form. */
function nameOf(host: string): string {
  return (URL.parse(`http://${host}`)?.hostname ?? host).replace(/\.$/, "");
}

/** True for IP addresses; IPv6 in brackets. */
function isAddress(name: string): boolean {
  return isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0;
}
