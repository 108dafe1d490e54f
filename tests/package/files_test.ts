/** The files that are published: all that the package needs, and nothing else. */
import assert from "node:assert/strict";
import { COMMANDS } from "../../tasks/commands.ts";
import { SETTINGS_COMMANDS } from "../../tasks/settings_commands.ts";
import { neededModules, projectFile, tryPublishing } from "../support/package.ts";

/** Most bytes of all files: a limit of JSR's. */
const MOST_BYTES = 20e6;

/** Schemas of the settings files of the package's commands, for editors. */
const SCHEMAS = Object.keys(COMMANDS).map((name) => name.replace(":", "-"))
  .filter((name) => Object.hasOwn(SETTINGS_COMMANDS, name)).map((name) => `schemas/${name}.json`);

/** Files for readers. */
const FOR_READERS = ["CHANGELOG.md", "LICENSE", "README.md"];

const { output, files } = await tryPublishing();

Deno.test("all modules that the entry points load are published, and no others", async () => {
  const needed = new Set([...(await neededModules()).keys(), ...FOR_READERS, ...SCHEMAS]);
  assert.deepEqual(files.filter((path) => !needed.has(path)), [], "not needed: exclude it in deno.json");
  assert.deepEqual(
    [...needed].filter((path) => !files.includes(path)),
    [],
    "needed: include it in deno.json",
  );
});

Deno.test("the package is small, and has no slow types", async () => {
  const sizes = await Promise.all(files.map(async (path) => (await projectFile(path)).length));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(bytes > 1e6 && bytes < MOST_BYTES, `${bytes} bytes`);
  assert.match(output, /Checking for slow types/);
  assert.doesNotMatch(output, /slow-type|missing-explicit/);
});

Deno.test("imports that are not rewritten on publication name packages with their versions", async () => {
  const names = await Promise.all(
    files.filter((path) => /\.ts$/.test(path)).map(async (path) => {
      const text = new TextDecoder().decode(await projectFile(path));
      return [...text.matchAll(/import\.meta\.resolve\("([^"]+)"\)/g)].map(([, name]) => `${path}: ${name}`);
    }),
  );
  assert.deepEqual(names.flat().filter((line) => !/: (\.|npm:@?[^@]+@\d)/.test(line)), []);
});
