/**
 * Builds the site: pages, the sources that they link to, pictures, and the API reference.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { DataError } from "../../lib/errors.ts";
import { readDocument } from "./documents.ts";
import { isPicture, linkBetween, resolveLink, sitePath } from "./links.ts";
import { renderMarkdown, renderSource } from "./markdown.ts";
import { API, PAGES } from "./pages.ts";
import { pageDocument, sourceDocument } from "./template.ts";

/** Files of the site that do not come from a document. */
const ASSETS: Readonly<Record<string, string>> = {
  "site.css": "tasks/docs/site.css",
  "icon.svg": "server/page/icon.svg",
};

/** A site, ready to be written. */
export interface Site {
  /** Contents by path from the site's root. */
  readonly files: ReadonlyMap<string, string | Uint8Array>;
}

/**
 * Renders all pages, and all that they link to in the repository.
 *
 * @param root the repository
 * @throws {DataError} naming the page and the link that leads nowhere
 */
export async function buildSite(root: string): Promise<Site> {
  const files = new Map<string, string | Uint8Array>();
  const linked = new Map<string, string>();
  for (const page of PAGES) {
    const text = await readDocument(root, page.file);
    const { title, html } = renderMarkdown(text, (href) => {
      const target = resolveLink(href, page.file);
      switch (target.kind) {
        case "elsewhere":
          return href;
        case "page":
          return linkBetween(page.path, target.path) + target.hash;
        case "api":
          return linkBetween(page.path, target.path);
        case "file": {
          const file = isFolder(join(root, target.file)) ? join(target.file, "README.md") : target.file;
          linked.set(file, `${page.file}: ${href}`);
          return linkBetween(page.path, sitePath(file));
        }
      }
    });
    files.set(page.path, pageDocument(page, { title, html }));
  }
  for (const [file, where] of linked) {
    const path = sitePath(file);
    const bytes = await Deno.readFile(join(root, file)).catch(() => {
      throw new DataError(`${where} leads to ${file}, which is not there`);
    });
    const source = () => sourceDocument(path, file, renderSource(new TextDecoder().decode(bytes), file));
    files.set(path, isPicture(file) ? bytes : source());
  }
  for (const [path, file] of Object.entries(ASSETS)) files.set(path, await Deno.readFile(join(root, file)));
  return { files };
}

/** Writes a site into a folder, which is emptied of nothing. */
export async function writeSite({ files }: Site, out: string): Promise<void> {
  for (const [path, content] of files) {
    await Deno.mkdir(join(out, dirname(path)), { recursive: true });
    if (typeof content === "string") await Deno.writeTextFile(join(out, path), content);
    else await Deno.writeFile(join(out, path), content);
  }
}

/**
 * Writes the API reference by `deno doc --html`.
 *
 * @throws {DataError} with its output if it fails
 */
export async function writeApi(root: string, out: string): Promise<void> {
  const folder = join(out, API);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--html", "--name=@denoise/ddpm", `--output=${folder}`, join(root, "mod.ts")],
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new DataError(`deno doc failed: ${new TextDecoder().decode(stderr)}`);
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
