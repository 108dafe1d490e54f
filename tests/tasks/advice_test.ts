/** Advice in messages: a flag or an option that it names is one that there is. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ALL_SETTINGS } from "../../lib/train/options.ts";
import type { Setting } from "../../lib/train/setting.ts";
import { FLAG_OF } from "../../tasks/train_flags.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Flags of Deno, and of tasks that read their own command line. */
const OTHERS = [
  ...["--config", "--no-prompt", "--no-check", "--no-lock", "--cached-only", "--json", "--all"], // deno
  ...["--unstable-no-legacy-abort", "--doc", "--check"],
];

/** String and template literals of a module, comments aside. */
function literalsOf(text: string): string[] {
  const tokens = /\/\*[\s\S]*?\*\/|\/\/.*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g;
  return (text.match(tokens) ?? []).filter((token) => !token.startsWith("/"));
}

/** Modules below some folders, by path from the root. */
async function* modulesIn(...folders: string[]): AsyncGenerator<{ path: string; text: string }> {
  for (const folder of folders) {
    for await (const { name, isDirectory } of Deno.readDir(join(ROOT, folder))) {
      const path = `${folder}/${name}`;
      if (isDirectory) yield* modulesIn(path);
      else if (/\.ts$/.test(name)) yield { path, text: await Deno.readTextFile(join(ROOT, path)) };
    }
  }
}

Deno.test("every flag that a message names is a flag of a task", async () => {
  const modules = await Array.fromAsync(modulesIn("lib", "server", "tasks"));
  const named = Object.values<Setting>(ALL_SETTINGS).flatMap(({ flag }) => flag ?? []);
  const flags = new Set(["--help", ...Object.values(FLAG_OF), ...named]);
  for (const { text } of modules) {
    for (const [, flag] of text.matchAll(/\.(?:flag|switch)\(\s*"(--[a-z-]+)/g)) flags.add(flag);
  }
  assert.ok(flags.size > 40, `${[...flags]}`);
  const unknown: string[] = [];
  for (const { path, text } of modules) {
    for (const literal of literalsOf(text)) {
      for (const [flag] of literal.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)) {
        if (!flags.has(flag) && !OTHERS.includes(flag) && !flag.startsWith("--allow-")) {
          unknown.push(`${path}: ${flag} in ${literal}`);
        }
      }
    }
  }
  assert.deepEqual(unknown, []);
});

Deno.test("every option that a message of training names has a flag for the command line", async () => {
  const unknown: string[] = [];
  const named = new Set<string>();
  for await (const { path, text } of modulesIn("lib/train", "lib/files")) {
    for (const literal of literalsOf(text)) {
      for (const [, name] of literal.matchAll(/\\?`([a-z]\w*)(?:: "\w+")?\\?`/g)) {
        named.add(name);
        if (!(name in FLAG_OF)) unknown.push(`${path}: ${name} in ${literal}`);
      }
    }
  }
  assert.ok(named.size > 5, `${[...named]}`);
  assert.deepEqual(unknown, []);
});
