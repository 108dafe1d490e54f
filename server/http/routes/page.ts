/**
 * Web page and its assets, which are constants: no request reaches the file system.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { Hono } from "hono";
import {
  markovSamplers,
  samplerNames,
  samplersTaking,
  spacingNames,
  variances,
} from "../../../lib/diffusion/sampler.ts";
import { MAX_RESAMPLINGS } from "../../../lib/sampling/edits/image_edit.ts";
import { type ServerSettings, settingRanges } from "../../settings.ts";
import { PAGE_FILES } from "./page_assets.ts";

const TYPES = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
} as const;

/** `GET /`, the page's assets, and the server's settings that its form needs. */
export function pageRoutes(settings: ServerSettings): Hono {
  const routes = new Hono();
  const encoder = new TextEncoder();
  // `index.html` is `/`, the other files of `server/page/` are `/page/NAME`.
  for (const [name, text] of PAGE_FILES) {
    const type = TYPES[name.slice(name.lastIndexOf(".") + 1) as keyof typeof TYPES];
    serve(routes, name === "index.html" ? "/" : `/page/${name}`, type, encoder.encode(text));
  }
  const { sampler, guidance } = settings;
  const form = {
    samplers: samplerNames,
    repeating: markovSamplers,
    spacings: spacingNames,
    variances,
    takes: {
      eta: samplersTaking("eta"),
      variance: samplersTaking("variance"),
      churn: samplersTaking("churn"),
    },
    limits: {
      guidance: settingRanges.guidance[1],
      resamplings: MAX_RESAMPLINGS,
    },
    defaults: { sampler, guidance },
  };
  serve(routes, "/page/settings.json", "application/json", encoder.encode(JSON.stringify(form)));
  return routes;
}

function serve(routes: Hono, path: string, type: string, body: Uint8Array<ArrayBuffer>): void {
  const headers = {
    "Content-Type": type,
    "Cache-Control": "no-cache", // cached, but revalidated by ETag
    "ETag": `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`,
  };
  routes.get(path, (context) => {
    if (matches(context.req.header("If-None-Match"), headers.ETag)) return context.body(null, 304, headers);
    return context.body(body, 200, headers);
  });
}

/** Weak comparison of If-None-Match with an entity tag: proxies that compress a file weaken its tag. */
function matches(list: string | undefined, tag: string): boolean {
  return (list ?? "").split(",").some((one) => ["*", tag, `W/${tag}`].includes(one.trim()));
}
