/**
 * Client addresses behind trusted proxies.
 *
 * @module
 */

/**
 * Address of the client: the other end of the connection, or where that is a proxy of one's own, the last address that
 * `X-Forwarded-For` names and that is no such proxy. What stands before it there is for the client to write, and may be
 * a lie.
 *
 * @param peer the other end of the connection
 * @param forwarded the header: each proxy appends whom it heard from
 * @param trusted addresses of one's own proxies
 */
export function clientAddress(
  peer: string,
  forwarded: string | undefined,
  trusted: readonly string[] = [],
): string {
  const proxies = new Set(trusted.map(plain));
  let client = plain(peer);
  for (const entry of (forwarded ?? "").split(",").reverse()) {
    if (!proxies.has(client)) break;
    const address = plain(entry.trim());
    if (!/^[\da-f.:]{2,45}$/i.test(address)) break;
    client = address;
  }
  return client;
}

/** An address without a port and brackets, and as version 4 where version 6 only wraps one. */
function plain(address: string): string {
  const bare = /^\[(.*)\](:\d+)?$/.exec(address)?.[1] ?? address.replace(/^([\d.]+):\d+$/, "$1");
  return bare.toLowerCase().replace(/^::ffff:(?=[\d.]+$)/, "");
}
