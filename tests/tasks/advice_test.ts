/** Advice in messages: a flag or an option that it names is one that there is. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ALL_SETTINGS } from "../../lib/train/options.ts";
import type { Setting } from "../../lib/train/setting.ts";
import { FLAG_OF } from "../../tasks/train_flags.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Flags of Deno and of V8, which a process is given but no sentence advises. */
const DENO_ARGUMENTS = [
  "--config",
  "--no-config",
  "--no-prompt",
  "--no-check",
  "--no-lock",
  "--doc",
  "--preload",
  "--unstable-no-legacy-abort",
  "--expose-gc",
  "--no-expose-gc",
  "--ignore",
];

/** Deno's permissions, which messages advise. */
const PERMISSION = /^--allow-(?:all|env|ffi|import|net|read|run|sys|write)$/;

/** True if a literal is a flag and nothing else, with or without a value. */
function isArgument(literal: string): boolean {
  return /^.--[a-z-]+(?:=.*)?.$/.test(literal) && !/\s/.test(literal);
}

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
  const modules = await Array.fromAsync(modulesIn("lib", "server", "tasks", "terminal"));
  const named = Object.values<Setting>(ALL_SETTINGS).flatMap(({ flag }) => flag ?? []);
  const flags = new Set(["--help", ...Object.values(FLAG_OF), ...named]);
  for (const { text } of modules) {
    for (const [, flag] of text.matchAll(/\.(?:flag|switch|includes)\(\s*"(--[a-z-]+)/g)) flags.add(flag);
  }
  assert.ok(flags.size > 40, `${[...flags]}`);
  const unknown: string[] = [];
  for (const { path, text } of modules) {
    for (const literal of literalsOf(text)) {
      for (const [flag] of literal.matchAll(/(?<![\w-])--[a-z]+(?:-[a-z]+)*(?![a-z-])/g)) {
        const ofDeno = PERMISSION.test(flag) || isArgument(literal) && DENO_ARGUMENTS.includes(flag);
        if (!flags.has(flag) && !ofDeno) {
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
