/** The package as JSR serves it, on loopback: `JSR_URL` names the place. */
import { createHash } from "node:crypto";
import project from "../../deno.json" with { type: "json" };
import { type ModuleInfo, neededModules, projectFile, type Span, tryPublishing } from "./package.ts";

/** A running registry with this package in it. */
export interface Registry extends AsyncDisposable {
  /** For the environment variable `JSR_URL`. */
  readonly url: string;
  /** Paths requested so far, and those of them that it does not have. */
  readonly requests: readonly string[];
  readonly missing: readonly string[];
}

/** Serves the package on a free port. */
export async function serveRegistry(): Promise<Registry> {
  const { name, version } = project;
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const modules = await neededModules();
  for (const path of (await tryPublishing()).files) {
    const bytes = await projectFile(path);
    const module = modules.get(path);
    files.set(path, module ? rewritten(bytes, module) : bytes);
  }
  const encode = (json: unknown) => new TextEncoder().encode(JSON.stringify(json));
  const manifest = Object.fromEntries([...files].map(([path, bytes]) => [`/${path}`, {
    size: bytes.length,
    checksum: `sha256-${createHash("sha256").update(bytes).digest("hex")}`,
  }]));
  const served = new Map<string, Uint8Array<ArrayBuffer>>([
    [`/${name}/meta.json`, encode({ ...splitName(name), latest: version, versions: { [version]: {} } })],
    [`/${name}/${version}_meta.json`, encode({ manifest, exports: project.exports })],
    ...[...files].map(([path, bytes]) => [`/${name}/${version}/${path}`, bytes] as const),
  ]);
  const requests: string[] = [];
  const missing: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    requests.push(pathname);
    const body = served.get(pathname);
    if (!body) missing.push(pathname);
    return body
      ? new Response(body, { headers: { "Content-Type": typeOf(pathname) } })
      : new Response(null, { status: 404 });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    requests,
    missing,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function splitName(name: string): { scope: string; name: string } {
  const [scope, rest] = name.slice("@".length).split("/");
  return { scope, name: rest };
}

function typeOf(path: string): string {
  if (path.endsWith(".ts")) return "text/typescript";
  if (path.endsWith(".js")) return "text/javascript";
  return path.endsWith(".json") ? "application/json" : "text/plain";
}

/** A module as publication rewrites it: specifiers of the import map become those of npm, as nothing else resolves them. */
function rewritten(
  bytes: Uint8Array<ArrayBuffer>,
  { dependencies = [] }: ModuleInfo,
): Uint8Array<ArrayBuffer> {
  const imports: Readonly<Record<string, string>> = project.imports;
  const lines = new TextDecoder().decode(bytes).split("\n");
  const places: { readonly span: Span; readonly target: string }[] = [];
  for (const { specifier, code, type } of dependencies) {
    const target = resolved(specifier, imports);
    if (target === undefined) continue;
    for (const part of [code, type]) if (part) places.push({ span: part.span, target });
  }
  // from the end of each line, so that what stands before keeps its place
  places.sort((a, b) => b.span.start.character - a.span.start.character);
  const done = new Set<string>();
  for (const { span: { start, end }, target } of places) {
    if (done.has(`${start.line}:${start.character}`)) continue;
    done.add(`${start.line}:${start.character}`);
    const line = lines[start.line];
    lines[start.line] = `${line.slice(0, start.character)}"${target}"${line.slice(end.character)}`;
  }
  return new TextEncoder().encode(lines.join("\n"));
}

/** The import map's target of a specifier, or of a path below one. */
function resolved(specifier: string, imports: Readonly<Record<string, string>>): string | undefined {
  if (Object.hasOwn(imports, specifier)) return imports[specifier];
  const base = Object.keys(imports).find((key) => specifier.startsWith(`${key}/`));
  return base === undefined ? undefined : imports[base] + specifier.slice(base.length);
}
