/**
 * URLs of models: a directory, or a file of weights with its configuration beside it.
 *
 * @module
 */
import { basename } from "node:path";
import { ConfigError } from "../errors.ts";
import { isWeightFile } from "../files/weight_files.ts";
import { sha256 } from "../files/checkpoint_files.ts";

/** A parsed URL. */
export interface ModelUrl {
  /** The URL without its fragment; a directory's ends in a slash. */
  readonly url: URL;
  /** Name of the weight file; undefined for a directory. */
  readonly file?: string;
  /** Expected SHA-256 of the weights in lowercase hex, from the fragment `#sha256=…`. */
  readonly sha256?: string;
}

/** True for text that is a URL, not a path. */
export function isModelUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/**
 * Parses the URL of a model.
 *
 * @throws {ConfigError} for a URL without encryption (but to this machine), with a password, or with another fragment than
 *   `#sha256=…`
 */
export function parseModelUrl(text: string): ModelUrl {
  const fail = (allowed: string): never => {
    throw new ConfigError("model", text, allowed);
  };
  const url = URL.parse(text) ?? fail("a URL such as https://example.org/model/");
  if (!isAllowed(url)) fail("a URL that starts with https://, or with http:// on this machine");
  if (url.username !== "" || url.password !== "") fail("a URL without a user name and password");
  const digest = /^#sha256=([0-9a-f]{64})$/i.exec(url.hash)?.[1]?.toLowerCase();
  if (url.hash !== "" && digest === undefined) {
    fail("a URL without #, or with #sha256= and 64 hexadecimal digits");
  }
  url.hash = "";
  const pinned = digest === undefined ? {} : { sha256: digest };
  if (isWeightFile(url.pathname)) return { url, file: fileName(url), ...pinned };
  if (url.search !== "") fail("a directory's URL without ?, or that of a weight file");
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return { url, ...pinned };
}

/** True for https, and for http to this machine, which no one can listen to. */
export function isAllowed({ protocol, hostname }: URL): boolean {
  if (protocol === "https:") return true;
  return protocol === "http:" && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

/** Name of a model's directory in the cache: readable, and different for each URL and variant. */
export function cacheName({ url }: ModelUrl, variant = ""): string {
  const readable = `${url.hostname}-${basename(url.pathname)}`.replace(/[^\w.-]+/g, "_").slice(0, 60);
  return `${readable}-${sha256(new TextEncoder().encode(`${url.href}\n${variant}`)).slice(0, 12)}`;
}

/** True for a name that is safe as a file's: the last part of a path, of plain characters. */
export function isPlainName(name: string): boolean {
  return /^\w[\w.-]*$/.test(name);
}

function fileName(url: URL): string {
  const name = basename(url.pathname);
  return isPlainName(name) ? name : `weights${/\.\w+$/.exec(name)![0]}`; // a weight file has an extension
}
