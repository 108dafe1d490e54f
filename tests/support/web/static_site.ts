/** A static host, as the documents ask for: files under a path of their own, with a strict policy and no fallback. */
import { extname, join } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

/** Content security policy that pages must do with: nothing inline, nothing from elsewhere. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Files by their path from the site's root: in a folder, or contents. */
export type SiteFiles = (path: string) => Promise<Uint8Array<ArrayBuffer> | string | undefined>;

/** Files of folders, by the path at which each is found. */
export function foldersOf(folders: Readonly<Record<string, string>>): SiteFiles {
  return async (path) => {
    for (const [prefix, folder] of Object.entries(folders)) {
      if (!path.startsWith(prefix)) continue;
      const file = await Deno.readFile(join(folder, path.slice(prefix.length))).catch(() => undefined);
      if (file) return file;
    }
    return undefined;
  };
}

/**
 * Serves a site for the duration of a test.
 *
 * @param body gets the address of the site, below a path of the host's
 */
export async function withSite(files: SiteFiles, body: (address: string) => Promise<void>): Promise<void> {
  const base = "/some/folder/";
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async ({ url }) => {
    const { pathname } = new URL(url);
    const path = pathname.startsWith(base) ? decodeURIComponent(pathname.slice(base.length)) : undefined;
    const name = path === "" ? "index.html" : path;
    const content = name === undefined ? undefined : await files(name);
    if (content === undefined) return new Response("not found", { status: 404 });
    const type = TYPES[extname(name!)] ?? "application/octet-stream";
    return new Response(content, { headers: { "content-type": type, "content-security-policy": POLICY } });
  });
  try {
    await body(`http://127.0.0.1:${server.addr.port}${base}`);
  } finally {
    await server.shutdown();
  }
}
