/**
 * Unique export names, part of `deno task imports`: a name found by grep is one thing.
 *
 * @module
 */

/**
 * Finds names that several modules export. Re-exports, tests and the page's JavaScript do not count.
 *
 * @param modules the project's modules by path from the root
 * @returns a message for each name
 */
export function checkNames(modules: ReadonlyMap<string, { readonly text: string }>): string[] {
  const places = new Map<string, string[]>();
  for (const [path, { text }] of modules) {
    if (path.startsWith("tests/") || !path.endsWith(".ts") || path.endsWith(".d.ts")) continue;
    for (const name of exportedNames(text)) places.set(name, [...places.get(name) ?? [], path]);
  }
  return [...places].filter(([, paths]) => paths.length > 1)
    .map(([name, paths]) => `${paths.sort().join(", ")}: all export ${name}; rename all but one`);
}

/** Names that a module declares and exports, without re-exports. */
export function exportedNames(text: string): Set<string> {
  const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*/gm, "");
  const declared = code.matchAll(
    /^export (?:declare )?(?:async )?(?:abstract )?(?:function\*?|const|let|class|interface|type|enum) +(\w+)/gm,
  );
  const listed = code.matchAll(/^export (?:type )?\{([^}]*)\}(?! *from)/gm).flatMap(([, names = ""]) =>
    names.split(",").map((name) => /(\w+)\s*$/.exec(name)?.[1] ?? "").filter((name) => name !== "")
  );
  return new Set([...[...declared].flatMap(([, name]) => name ?? []), ...listed]);
}
