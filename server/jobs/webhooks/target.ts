/**
 * Targets of webhooks: URLs on hosts that whoever starts the server has listed. Clients choose the URL, so without a list they could
 * make the server send requests to whatever it reaches (SSRF).
 *
 * @module
 */
import ipaddr from "ipaddr.js";

/** An entry of the list: a host with a port, as in `hooks.example.org:443`. */
export interface WebhookHost {
  /** Name in lower case, or IP address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Longest URL in characters. */
export const MAX_WEBHOOK_URL = 2048;

/** Parses an entry such as `hooks.example.org`, `10.0.0.5:9000` or `[fd00::1]:9000`; undefined if it is none. Default port: 443. */
export function parseWebhookHost(text: string): WebhookHost | undefined {
  const url = URL.parse(`https://${text}`);
  if (!url || url.pathname !== "/" || url.search || url.hash || url.username || url.password) {
    return undefined;
  }
  if (/[/?#@\\]/.test(text)) return undefined;
  return { host: hostOf(url), port: portOf(url) };
}

/** An entry as Deno's permissions and messages have it. */
export function webhookHostText({ host, port }: WebhookHost): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Parses the URL of a webhook; undefined unless it is an http or https URL on a listed host and port, without credentials. */
export function parseWebhookUrl(text: string, hosts: readonly WebhookHost[]): URL | undefined {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.hash) return undefined;
  return hosts.some(({ host, port }) => host === hostOf(url) && port === portOf(url)) ? url : undefined;
}

/**
 * True if a connection to this address may be used: a public address, or one that is listed itself. A listed name may lead to any
 * address, at any later time, so the address of each connection is checked.
 */
export function mayConnect(address: string, hosts: readonly WebhookHost[]): boolean {
  if (!ipaddr.isValid(address)) return false;
  const ip = ipaddr.process(address); // IPv4-mapped addresses become IPv4
  if (ip.range() === "unicast") return true;
  return hosts.some(({ host }) => ipaddr.isValid(host) && ipaddr.process(host).toString() === ip.toString());
}

/** Host of a URL without brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

/** Port of a URL. */
export function portOf({ port, protocol }: URL): number {
  return port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
}
