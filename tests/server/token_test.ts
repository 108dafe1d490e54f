import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";
import { readToken } from "../../server/token.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("the token is the first line, whatever the line's end", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "token");
    for (const text of ["s3cret", "s3cret\n", "s3cret\r\nanother\n", " s3cret \n\n"]) {
      await Deno.writeTextFile(file, text);
      assert.equal(await readToken(file), "s3cret");
    }
    await Deno.writeTextFile(file, "aB9._~+/-==\n");
    assert.equal(await readToken(file), "aB9._~+/-==");
  });
});

Deno.test("a file without a token, and one that cannot be read, are named; what is in it is not", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "token");
    for (const text of ["", "\ns3cret", "s3cret word", "s3crét", "s3cret\0"]) {
      await Deno.writeTextFile(file, text);
      await assert.rejects(readToken(file), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.ok(error.message.includes(file) && /--token-file: expected letters/.test(error.message));
        assert.doesNotMatch(error.message, /s3cr/);
        return true;
      });
    }
    await assert.rejects(
      readToken(join(directory, "none")),
      /--token-file: expected a file that can be read/,
    );
    await assert.rejects(readToken(directory), /--token-file: expected a file that can be read/);
  });
});
