import assert from "node:assert/strict";
import { join } from "node:path";
import { appendAtomically } from "../../lib/files/append.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("bytes go behind those of a file, which is made if it is missing", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "log");
    for (const line of ["one\n", "", "two\n"]) await appendAtomically(path, new TextEncoder().encode(line));
    assert.equal(await Deno.readTextFile(path), "one\ntwo\n");
  });
});
