import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../../lib/errors.ts";
import { keyFileText, parseKeyFile, readKeyFile } from "../../../server/keys/key_file.ts";
import { makeKey, writeKeys } from "../../support/server/keys.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

const anna = makeKey("anna", { images: 4, jobImages: 100, steps: 50, work: 1000, perMinute: 10 });
const bob = makeKey("bob", {}, { admin: true, expires: "2030-01-31T00:00:00.000Z" });

Deno.test("keys are read as they were written", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "keys.json");
    await writeKeys(file, [anna, bob]);
    assert.deepEqual(await readKeyFile(file), [anna.key, bob.key]);
    await writeKeys(file, []);
    assert.deepEqual(await readKeyFile(file), []);
  });
});

Deno.test("a malformed file is refused with what is wrong, and nothing of a key", () => {
  const { key } = anna;
  const cases: [unknown, RegExp][] = [
    [{ version: 2, keys: [] }, /version: expected 1/],
    [{ version: 1, keys: [{ ...key, name: "a b" }] }, /keys\.0\.name: expected 1 to 64 letters/],
    [{ version: 1, keys: [{ ...key, sha256: "ff" }] }, /keys\.0\.sha256: expected 64 hexadecimal digits/],
    [{ version: 1, keys: [{ ...key, expires: "tomorrow" }] }, /keys\.0\.expires: expected a time such as/],
    [
      { version: 1, keys: [{ ...key, limits: { images: 0 } }] },
      /keys\.0\.limits\.images: expected a whole number from 1 to/,
    ],
    [{ version: 1, keys: [{ ...key, limits: { imgaes: 3 } }] }, /keys\.0\.limits: .*imgaes/],
    [{ version: 1, keys: [{ ...key, admin: false }] }, /keys\.0\.admin: expected true/],
    [{ version: 1, keys: [key, { ...bob.key, name: key.name }] }, /two keys have the same name/],
    [{ version: 1, keys: [key, { ...bob.key, sha256: key.sha256 }] }, /two keys have the same sha256/],
    [[], /expected object|Invalid input/],
  ];
  for (const [value, why] of cases) {
    assert.throws(() => parseKeyFile(JSON.stringify(value), "keys.json"), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, why);
      assert.match(
        error.message,
        /^--keys: expected a file that `deno task keys add NAME --keys keys\.json` has made/,
      );
      assert.equal(error.message.includes(key.sha256), false);
      return true;
    });
  }
  assert.throws(() => parseKeyFile("{", "keys.json"), /it is not JSON/);
  assert.deepEqual(parseKeyFile(keyFileText([key]), "keys.json"), [key]);
});

Deno.test({
  name: "a file that others may write is refused, like one that is not there or too large",
  ignore: Deno.build.os === "windows",
  async fn() {
    await inTemporaryDirectory(async (directory) => {
      const file = join(directory, "keys.json");
      await assert.rejects(readKeyFile(file), /--keys: expected a file that can be read/);
      await writeKeys(file, [anna]);
      for (const mode of [0o620, 0o602]) {
        await Deno.chmod(file, mode);
        await assert.rejects(
          readKeyFile(file),
          new RegExp(
            `--keys: expected a file that only its owner may write \\(its mode is ${
              mode.toString(8)
            }; chmod 600`,
          ),
        );
      }
      await Deno.chmod(file, 0o644); // digests are no secrets
      assert.equal((await readKeyFile(file)).length, 1);
      await Deno.writeTextFile(file, " ".repeat(2 ** 20 + 1));
      await assert.rejects(readKeyFile(file), /at most 1048576 bytes/);
    });
  },
});
