/**
 * The page that draws in a browser, and what it is made of. All of it is read once, when the server starts: nothing in a
 * request reaches the file system.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Hono } from "hono";
import { samplerNames } from "../../../lib/diffusion/sampler.ts";
import { type ServerSettings, settingRanges } from "../../settings.ts";

const TYPES = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
} as const;

/** The files of `server/page/`; `index.html` is `/`, the others are `/page/NAME`. */
const FILES = [
  "index.html",
  "page.css",
  "icon.svg",
  "api.js",
  "details.js",
  "dom.js",
  "draw.js",
  "drawing.js",
  "events.js",
  "form.js",
  "layout.js",
  "main.js",
  "offer.js",
  "picture.js",
  "row.js",
  "token.js",
  "words.js",
] as const;

/** `GET /`, the page's assets, and what its form needs to know of the server's settings. */
export function pageRoutes(settings: ServerSettings): Hono {
  const routes = new Hono();
  for (const name of FILES) {
    const body = readFileSync(new URL(`../../page/${name}`, import.meta.url));
    const type = TYPES[name.slice(name.lastIndexOf(".") + 1) as keyof typeof TYPES];
    serve(routes, name === "index.html" ? "/" : `/page/${name}`, type, body);
  }
  const { sampler, steps, guidance, maxImages, maxSteps } = settings;
  const form = {
    samplers: samplerNames,
    limits: { images: maxImages, steps: maxSteps, guidance: settingRanges.guidance[1] },
    defaults: { sampler, steps, guidance },
  };
  serve(routes, "/page/settings.json", "application/json", new TextEncoder().encode(JSON.stringify(form)));
  return routes;
}

function serve(routes: Hono, path: string, type: string, body: Uint8Array<ArrayBuffer>): void {
  const headers = {
    "Content-Type": type,
    "Cache-Control": "no-cache", // kept, and asked for again: the answer is 304 until the server is another one
    "ETag": `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`,
  };
  routes.get(path, (context) => {
    if (matches(context.req.header("If-None-Match"), headers.ETag)) return context.body(null, 304, headers);
    return context.body(body, 200, headers);
  });
}

/** Whether a list of entity tags names this one; a proxy that compressed the file has made the tag a weak one. */
function matches(list: string | undefined, tag: string): boolean {
  return (list ?? "").split(",").some((one) => ["*", tag, `W/${tag}`].includes(one.trim()));
}
