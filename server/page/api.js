/**
 * Client of the server's API. URLs are relative, so that the page works under any path.
 *
 * @module
 */
import { readEvents } from "./events.js";
import { askForToken, knownToken } from "./token.js";

/**
 * A request, with the names of the server's parameters.
 * @typedef {{
 *   class: string, count: number, steps: number, sampler: string, seed: number, guidance?: number,
 *   negative_class?: string, guidance_rescale?: number, guidance_interval?: string,
 * }} Wish
 */

/** Error response of the server. */
export class ServerError extends Error {
  /**
   * @param {number} status HTTP status; 0: no answer
   * @param {string} message
   * @param {number} [retryAfter] seconds
   */
  constructor(status, message, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
export async function getJson(path) {
  return await (await request(path, "application/json")).json();
}

/**
 * Draws pictures, and yields the server's events.
 *
 * @param {Wish} wish
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<{ event: string, data: any }>}
 * @throws {ServerError}
 */
export async function* drawStream(wish, signal) {
  const query = new URLSearchParams(parameters(wish));
  const response = await request(`generate/stream?${query}`, "text/event-stream", signal);
  try {
    for await (const { event, data } of readEvents(/** @type {any} */ (response.body))) {
      const parsed = JSON.parse(data);
      if (event === "error") throw problemError(parsed, parsed.status ?? 500);
      yield { event, data: parsed };
      if (event === "done") return;
    }
  } catch (error) {
    if (signal.aborted || error instanceof ServerError) throw error;
    throw new ServerError(0, "The connection to the server was lost.");
  }
  throw new ServerError(0, "The server ended the connection before the picture was finished.");
}

/**
 * URL that draws the same picture again.
 * @param {Wish} wish
 */
export function pictureUrl(wish) {
  return new URL(`generate?${new URLSearchParams(parameters(wish))}`, document.baseURI).href;
}

/**
 * @param {Wish} wish
 * @returns {Record<string, string>}
 */
function parameters(wish) {
  const entries = Object.entries(wish).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
}

/**
 * @param {string} path
 * @param {string} accept
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
async function request(path, accept, signal) {
  const token = knownToken();
  /** @type {Record<string, string>} */
  const headers = token ? { accept, authorization: `Bearer ${token}` } : { accept };
  let response;
  try {
    response = await fetch(path, { headers, signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ServerError(0, "The server is not responding. Is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401 && await askForToken(token)) return await request(path, accept, signal);
  // Proxies may answer without problem details, and then have only this header.
  const retryAfter = Number(response.headers.get("retry-after")) || undefined;
  const problem = await response.json().catch(() => ({}));
  throw problemError({ retryAfter, ...problem }, response.status);
}

/**
 * @param {{ title?: string, detail?: string, retryAfter?: number }} problem RFC 9457's members
 * @param {number} status
 */
function problemError({ detail, title, retryAfter }, status) {
  return new ServerError(status, detail ?? title ?? `The server answered with status ${status}.`, retryAfter);
}
