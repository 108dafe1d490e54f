/**
 * Links between documents: places in the repository, and places in the site.
 *
 * @module
 */
import { posix } from "node:path";
import { DataError } from "../../lib/errors.ts";
import { API, PAGES } from "./pages.ts";

/** Where a link of a document leads. */
export type LinkTarget =
  /** To another site, or within the page. */
  | { readonly kind: "elsewhere" }
  /** To a page of the site. */
  | { readonly kind: "page"; readonly path: string; readonly hash: string }
  /** To a file of the repository, which the site copies or shows. */
  | { readonly kind: "file"; readonly file: string }
  /** To the API reference. */
  | { readonly kind: "api"; readonly path: string };

/**
 * Resolves a link.
 *
 * @param href as in the document
 * @param from the document, from the repository's root
 * @throws {DataError} if it leads out of the repository
 */
export function resolveLink(href: string, from: string): LinkTarget {
  if (/^(?:[a-z]+:|#)/i.test(href)) return { kind: "elsewhere" };
  const [relative = "", hash = ""] = href.split("#");
  const file = posix.normalize(posix.join(posix.dirname(from), decodeURI(relative))).replace(/\/$/, "");
  if (file.startsWith("..")) throw new DataError(`${from}: ${href} leads out of the repository`);
  if (file.startsWith(`docs/${API}/`)) return { kind: "api", path: file.slice("docs/".length) };
  const page = PAGES.find((page) => page.file === file);
  return page ? { kind: "page", path: page.path, hash: hash && `#${hash}` } : { kind: "file", file };
}

/** Path of a file of the repository in the site: pictures are copied, texts shown with their lines numbered. */
export function sitePath(file: string): string {
  if (isPicture(file)) return posix.join("files", file);
  return posix.join("source", `${file}.html`);
}

/** Files that are copied as they are. */
export function isPicture(file: string): boolean {
  return /\.(?:png|gif|svg)$/.test(file);
}

/** A path of the site as a link from another. */
export function linkBetween(from: string, to: string): string {
  return posix.relative(posix.dirname(from), to) || posix.basename(to);
}
