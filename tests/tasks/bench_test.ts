import assert from "node:assert/strict";
import { inTemporaryDirectory } from "../train/directories.ts";
import { runTask } from "./command.ts";

Deno.test("what was measured is shown also where the file for it cannot be written, which is said in one line", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(`${directory}/file`, "");
    const flags = ["--quick", "--only", "no such row", "--json", "file/bench.json"];
    const { code, out, err } = await runTask("bench", flags, directory);
    assert.match(out, /^copy bandwidth +[\d.]+ GB\/s/m);
    assert.match(err.trim().split("\n").at(-1)!, /^error: cannot write file\/bench\.json: /);
    assert.ok(!err.includes(" at "), err);
    assert.equal(code, 1);
  });
});
