/**
 * Client addresses behind trusted proxies.
 *
 * @module
 */

/**
 * Address of the client: the peer or, if that is a trusted proxy, the last address in `X-Forwarded-For` that is not a trusted
 * proxy. Addresses before it are controlled by the client and may be forged.
 *
 * @param peer remote address of the connection
 * @param forwarded the header, to which each proxy appends its peer
 * @param trusted addresses of trusted proxies
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

/** Normalizes an address: without port and brackets; IPv4-mapped IPv6 addresses become IPv4. */
function plain(address: string): string {
  const bare = /^\[(.*)\](:\d+)?$/.exec(address)?.[1] ?? address.replace(/^([\d.]+):\d+$/, "$1");
  return bare.toLowerCase().replace(/^::ffff:(?=[\d.]+$)/, "");
}
