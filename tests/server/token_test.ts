import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";
import { readToken as readTokenWith } from "../../server/token.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const readToken = (path: string) => readTokenWith(path, () => {});

Deno.test("the token is the first line, whatever the line's end", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "token");
    for (const text of ["s3cret", "s3cret\n", "s3cret\r\nanother\n", " s3cret \n\n"]) {
      await Deno.writeTextFile(file, text, { mode: 0o600 });
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
      await Deno.writeTextFile(file, text, { mode: 0o600 });
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

/** Warnings from reading a token, or the message of the error. */
async function whatIsSaid(path: string): Promise<string[]> {
  const said: string[] = [];
  await readTokenWith(path, (message) => said.push(message)).catch((error) => said.push(error.message));
  return said;
}

Deno.test("a token that can be guessed is warned of, one that is none for its length refused", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "token");
    await Deno.writeTextFile(file, "", { mode: 0o600 });
    const said = async (text: string) => {
      await Deno.writeTextFile(file, text);
      return await whatIsSaid(file);
    };
    for (const length of [1, 15]) {
      const [warning, ...rest] = await said("x".repeat(length));
      assert.ok(
        warning.includes(file) && /short enough to be guessed; use at least 16 characters/.test(warning),
        warning,
      );
      assert.deepEqual(rest, []);
    }
    for (const length of [16, 4096]) assert.deepEqual(await said("x".repeat(length) + "\n"), []);
    assert.deepEqual(await said(`${"x".repeat(16)}\n${"y".repeat(100_000)}`), []);
    for (const text of ["x".repeat(4097), "x".repeat(100_000), `${"x".repeat(8190)}é`]) {
      const [refusal, ...rest] = await said(text);
      assert.match(refusal, /^--token-file: expected at most 4096 characters in the first line/);
      assert.deepEqual(rest, []);
    }
  });
});

Deno.test({
  name:
    "a token file that others may write is refused, one that they may read is warned of, with the command that helps",
  ignore: Deno.build.os === "windows",
  async fn() {
    await inTemporaryDirectory(async (directory) => {
      const file = join(directory, "to ken");
      await Deno.writeTextFile(file, "x".repeat(32));
      const said = async (mode: number) => {
        await Deno.chmod(file, mode);
        return await whatIsSaid(file);
      };
      for (const mode of [0o600, 0o400, 0o700]) assert.deepEqual(await said(mode), [], mode.toString(8));
      for (const mode of [0o666, 0o620, 0o602, 0o777]) {
        const [refusal, ...rest] = await said(mode);
        assert.match(refusal, /^--token-file: expected a file that only its owner may write/);
        assert.ok(refusal.includes(`(its mode is ${mode.toString(8)}; chmod 600 '${file}')`), refusal);
        assert.deepEqual(rest, []);
      }
      for (const mode of [0o644, 0o440, 0o604]) {
        const [warning, ...rest] = await said(mode);
        assert.ok(
          warning.includes(
            `the token in ${file} is readable by other users (mode ${mode.toString(8)}; chmod 600 '`,
          ),
          warning,
        );
        assert.deepEqual(rest, []);
      }
    });
  },
});
