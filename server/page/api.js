/**
 * Client of the server's API. URLs are relative, so that the page works under any path.
 *
 * @module
 */
import { asGenerated, editBody } from "./edit_stream.js";
import { readEvents } from "./events.js";
import { askForToken, knownToken } from "./token.js";

/**
 * A request, with the names of the server's parameters.
 * @typedef {{
 *   model?: string, class: string, count: number, steps: number, sampler: string, seed: number, guidance?: number,
 *   negative_class?: string, guidance_rescale?: number, guidance_interval?: string,
 *   spacing?: string, eta?: number, variance?: string, churn?: number,
 *   edit?: import("./editor.js").Edit,
 * }} Wish a picture to start from is `edit`
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
  const response = wish.edit
    ? await request("v1/images/edits", "text/event-stream", signal, editBody(wish))
    : await request(`generate/stream?${query}`, "text/event-stream", signal);
  const events = parsedEvents(response);
  try {
    for await (const { event, data } of wish.edit ? asGenerated(events, wish.count) : events) {
      yield { event, data };
      if (event === "done") return;
    }
  } catch (error) {
    if (signal.aborted || error instanceof ServerError) throw error;
    throw new ServerError(0, "The connection to the server was lost.");
  }
  throw new ServerError(0, "The server ended the connection before the picture was finished.");
}

/**
 * @param {Response} response
 * @returns {AsyncGenerator<{ event: string, data: any }>}
 * @throws {ServerError} for an `error` event
 */
async function* parsedEvents(response) {
  for await (const { event, data } of readEvents(/** @type {any} */ (response.body))) {
    const parsed = JSON.parse(data);
    if (event === "error") throw problemError(parsed, parsed.status ?? 500);
    yield { event, data: parsed };
  }
}

/**
 * URL that draws the same picture again.
 * @param {Wish} wish one without a picture to start from
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
 * @param {object} [body] sent as JSON
 * @returns {Promise<Response>}
 */
async function request(path, accept, signal, body) {
  const token = knownToken();
  /** @type {Record<string, string>} */
  const headers = token ? { accept, authorization: `Bearer ${token}` } : { accept };
  if (body) headers["content-type"] = "application/json";
  const method = body ? "POST" : "GET";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      signal,
      cache: "no-store",
      body: body && JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ServerError(0, "The server is not responding. Is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401 && await askForToken(token)) return await request(path, accept, signal, body);
  // Proxies may answer without problem details, and then have only this header.
  const retryAfter = Number(response.headers.get("retry-after")) || undefined;
  const problem = await response.json().catch(() => ({}));
  throw problemError({ retryAfter, ...problem }, response.status);
}

/**
 * @param {{ title?: string, detail?: string, retryAfter?: number, error?: { message: string } }} problem RFC 9457's
 *   members, or OpenAI's
 * @param {number} status
 */
function problemError({ detail, title, retryAfter, error }, status) {
  return new ServerError(
    status,
    error?.message ?? detail ?? title ?? `The server answered with status ${status}.`,
    retryAfter,
  );
}
