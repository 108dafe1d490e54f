/**
 * Talks to the server. Addresses are relative, so that the page works below any path.
 *
 * @module
 */
import { readEvents } from "./events.js";
import { askForToken, knownToken } from "./token.js";

/**
 * What to draw, with the names of the server's parameters.
 * @typedef {{ class: string, count: number, steps: number, sampler: string, guidance?: number, seed: number }} Wish
 */

/** An answer that is an error, in the server's words. */
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
 * Draws, telling how far it is: each event's name and data as the server sends them.
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
 * Address of one picture, on which the same picture can be had again.
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
    throw new ServerError(0, "The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401 && await askForToken(token)) return await request(path, accept, signal);
  // What stands in front of the server may answer in another language, and then in this header alone.
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
