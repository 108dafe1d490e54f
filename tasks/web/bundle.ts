/**
 * Makes one JavaScript module of the part of the package that runs in browsers, `web.ts`.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { DataError } from "../../lib/errors.ts";

/** Name of the module. */
export const WEB_MODULE = "denoise.js";

/** Sizes of a file in bytes. */
export interface FileSizes {
  readonly bytes: number;
  /** As most static hosts send it. */
  readonly gzipped: number;
}

/** Options of {@linkcode bundleWeb}. */
export interface BundleWebOptions {
  /** Writes a source map beside the module, and a link to it at its end. */
  readonly sourceMap?: boolean;
}

/**
 * Bundles `web.ts` by `deno bundle`, minified: it resolves imports exactly as Deno does, by `deno.json`, and fetches esbuild
 * (10 MB) on its first run. Nothing of Node or Deno may be left in the module.
 *
 * @param root the project
 * @param out folder of the module; created if missing
 * @throws {DataError} with the bundler's output if it fails, or naming an import that browsers do not have
 */
export async function bundleWeb(
  root: string,
  out: string,
  { sourceMap = false }: BundleWebOptions = {},
): Promise<FileSizes> {
  const path = join(out, WEB_MODULE);
  await Deno.mkdir(dirname(path), { recursive: true });
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["bundle", "--quiet", "--no-lock", "--platform=browser", "--format=esm", "--minify"],
      ...sourceMap ? ["--sourcemap=linked"] : [],
      ...["--config", join(root, "deno.json"), "--output", path, join(root, "web.ts")],
    ],
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new DataError(`deno bundle failed:\n${new TextDecoder().decode(stderr)}`);
  const text = await Deno.readTextFile(path);
  const foreign = foreignImport(text);
  if (foreign !== undefined) throw new DataError(`${path}: imports ${foreign}, which browsers do not have`);
  const body = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return {
    bytes: new TextEncoder().encode(text).length,
    gzipped: (await new Response(body).arrayBuffer()).byteLength,
  };
}

/** An import that a bundle still has; undefined for none. */
export function foreignImport(code: string): string | undefined {
  return /(?<![.\w$])(?:from|import|import\s*\()\s*["'`]([\w@.:/-]+)["'`]/.exec(code)?.[1];
}
