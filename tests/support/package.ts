/** The package as it would be published: its files, and the modules that those need. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };

/** The project's folder. */
const ROOT = new URL("../../", import.meta.url);

/** Runs Deno in the project's folder. */
async function deno(...args: string[]): Promise<{ out: string; err: string; code: number }> {
  const { stdout, stderr, code } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { out, err, code };
}

/** A trial of publishing: what Deno says, and the files by path from the project's folder. */
export async function tryPublishing(): Promise<{ output: string; files: string[] }> {
  const { out, err, code } = await deno("publish", "--dry-run", "--allow-dirty");
  assert.equal(code, 0, err);
  const output = out + err;
  const listed = output.matchAll(/^ *(file:\S+) \([\d.]+[KM]?B\)$/gm).map(([, url]) =>
    url.slice(ROOT.href.length)
  );
  return { output, files: [...listed].sort() };
}

/** Output of `deno info --json`: the fields used here. */
export interface ModuleInfo {
  readonly specifier: string;
  readonly error?: string;
  readonly dependencies?: readonly {
    readonly specifier: string;
    readonly code?: { readonly specifier?: string; readonly span: Span };
    readonly type?: { readonly specifier?: string; readonly span: Span };
  }[];
}

/** Where a specifier stands, quotes included; lines and characters from 0. */
export interface Span {
  readonly start: { readonly line: number; readonly character: number };
  readonly end: { readonly line: number; readonly character: number };
}

/** Modules that the package's entry points load: by import, as workers, and as main modules of other processes. */
export async function neededModules(): Promise<Map<string, ModuleInfo>> {
  const found = new Map<string, ModuleInfo>();
  let roots = Object.values(project.exports).map((path) => path.slice("./".length));
  while (roots.length > 0) {
    const graphs = await Promise.all(roots.map((path) => deno("info", "--json", path)));
    const reached: string[] = [];
    for (const { out } of graphs) {
      for (const module of (JSON.parse(out) as { modules: ModuleInfo[] }).modules) {
        if (!module.specifier.startsWith(ROOT.href)) continue;
        assert.equal(module.error, undefined);
        const path = module.specifier.slice(ROOT.href.length);
        if (!found.has(path)) reached.push(path);
        found.set(path, module);
      }
    }
    const started = await Promise.all(reached.map(startedModules));
    roots = [...new Set(started.flat())].filter((path) => !found.has(path));
  }
  return found;
}

/** Modules that a module starts as workers or as other processes. */
async function startedModules(path: string): Promise<string[]> {
  if (!/\.[jt]s$/.test(path)) return [];
  const text = await Deno.readTextFile(new URL(path, ROOT));
  const besides = text.matchAll(/new URL\("(\.[^"]+\.ts)", import\.meta\.url\)/g)
    .map(([, relative]) => new URL(relative, new URL(path, ROOT)).href.slice(ROOT.href.length));
  const processes = text.matchAll(/processArguments\(\s*"([^"]+)"\)/g).map(([, path]) => path);
  return [...besides, ...processes];
}

/** Bytes of a file of the project. */
export async function projectFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return await Deno.readFile(fileURLToPath(new URL(path, ROOT)));
}
