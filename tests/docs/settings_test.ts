/** Settings files in the documents. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { SETTINGS_COMMANDS } from "../../tasks/settings_commands.ts";
import { blocksOf, DOCUMENTS } from "../support/documents.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("settings files in the documents are taken by the commands whose schemas they name", async () => {
  const blocks = (await Promise.all(DOCUMENTS.map(blocksOf))).flat();
  const files = blocks.filter(({ language, code }) => language === "json" && code.includes('"$schema"'));
  assert.ok(files.length > 1);
  await inTemporaryDirectory(async (directory) => {
    for (const { document, line, code } of files) {
      const { $schema, ...settings } = JSON.parse(code);
      const [, name] = /^\.\/schemas\/(.*)\.json$/.exec($schema) ?? [];
      const path = join(directory, "settings.json");
      await Deno.writeTextFile(path, code);
      const command = SETTINGS_COMMANDS[name]();
      command.read(["--settings", path]);
      for (const key of Object.keys(settings)) {
        assert.ok(command.sourceOf(key)?.startsWith(path), `${document}:${line}: ${key}`);
      }
    }
  });
});
