import assert from "node:assert/strict";
import { join } from "node:path";
import { keyOfSecret } from "../../server/keys/api_key.ts";
import { readKeyFile } from "../../server/keys/key_file.ts";
import { readKeysCommand } from "../../tasks/keys_flags.ts";
import { runTask } from "../support/command.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const NOW = new Date("2026-06-01T12:00:00Z");

Deno.test("keys are added, listed, rotated and revoked; a key is printed once, alone on standard output", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "keys.json");
    const run = (...args: string[]) => runTask("keys", args, directory);
    const added = await run("add", "anna", "--images", "4", "--per-minute", "10", "--expires", "2100-01-31");
    assert.deepEqual([added.code, added.err], [0, "the key of anna, which is shown only now:\n"]);
    const secret = added.out.trimEnd();
    assert.equal(added.out, `${secret}\n`);
    if (Deno.build.os !== "windows") assert.equal((await Deno.stat(file)).mode! & 0o777, 0o600);
    const [anna] = await readKeyFile(file);
    assert.equal(keyOfSecret(secret, [anna])?.name, "anna");
    assert.deepEqual(
      [anna.limits, anna.expires],
      [{ images: 4, perMinute: 10 }, "2100-01-31T00:00:00.000Z"],
    );
    assert.equal((await run("add", "bob", "--admin")).code, 0);
    const again = await run("add", "anna");
    assert.equal(again.code, 2);
    assert.match(again.err, /NAME: expected a name that no key has; `deno task keys rotate anna`/);

    const { out } = await run("list");
    assert.match(
      out,
      /^name {2}created {5}expires {5}limits\nanna {2}\S+ {2}2100-01-31 {2}4 images, 10 requests a minute\n/,
    );
    assert.match(out, /\nbob {3}\S+ {2}never {7}admin\n$/);
    const rotated = await run("rotate", "anna");
    const [after] = await readKeyFile(file);
    assert.equal(keyOfSecret(rotated.out.trimEnd(), [after])?.name, "anna");
    assert.deepEqual([after.id, after.limits], [anna.id, anna.limits]);
    assert.equal((await run("revoke", "anna")).err, "anna is revoked\n");
    assert.deepEqual((await readKeyFile(file)).map(({ name }) => name), ["bob"]);
    assert.match(
      (await run("revoke", "anna")).err,
      /NAME: expected the name of a key in keys\.json \(bob\), got "anna"/,
    );
    const text = await Deno.readTextFile(file);
    assert.equal(text.includes(secret), false);
  });
});

Deno.test("no folder is made for keys that are not there", async () => {
  await inTemporaryDirectory(async (directory) => {
    for (const action of ["rotate", "revoke"]) {
      const { code, err } = await runTask("keys", [action, "anna", "--keys", "absent/keys.json"], directory);
      assert.equal(code, 2);
      assert.match(err, /--keys: expected a file that exists/);
    }
    assert.deepEqual(await Array.fromAsync(Deno.readDir(directory)), []);
  });
});

Deno.test("commands at the same time lose no key of each other", async () => {
  await inTemporaryDirectory(async (directory) => {
    const names = ["anna", "bob", "carl", "dora", "eve", "fay"];
    const codes = await Promise.all(
      names.map(async (name) => (await runTask("keys", ["add", name], directory)).code),
    );
    assert.deepEqual(codes, names.map(() => 0));
    const keys = await readKeyFile(join(directory, "keys.json"));
    assert.deepEqual(keys.map(({ name }) => name).sort(), names);
  });
});

Deno.test({
  name: "the permissions of a file stay, a link stays a link, and what others may write is refused",
  ignore: Deno.build.os === "windows",
  async fn() {
    await inTemporaryDirectory(async (directory) => {
      const file = join(directory, "keys.json");
      const run = (...args: string[]) => runTask("keys", args, directory);
      await Deno.symlink("real.json", file);
      await Deno.writeTextFile(join(directory, "real.json"), '{ "version": 1, "keys": [] }');
      await Deno.chmod(file, 0o640);
      assert.equal((await run("add", "anna")).code, 0);
      assert.equal((await Deno.lstat(file)).isSymlink, true);
      assert.equal((await Deno.stat(file)).mode! & 0o777, 0o640);
      await Deno.chmod(file, 0o666);
      const { code, err } = await run("add", "bob");
      assert.deepEqual([code, /a file that only its owner may write/.test(err)], [2, true]);
    });
  },
});

Deno.test("help and errors say what there is", async () => {
  await inTemporaryDirectory(async (directory) => {
    const run = (...args: string[]) => runTask("keys", args, directory);
    const help = await run("--help");
    assert.deepEqual([help.code, help.err], [0, ""]);
    for (const action of ["add NAME", "list", "rotate NAME", "revoke NAME"]) {
      assert.match(help.out, new RegExp(`^${action} `, "m"));
    }
    assert.match(
      (await run("add", "--help")).out.replace(/\s+/g, " "),
      /--images <N> limit on images per request .*64/,
    );
    for (
      const [args, problem] of [
        [[], /^error: no action; expected add, list, revoke, rotate$/m],
        [["remove", "x"], /^error: 'remove' is no action; expected add/m],
        [
          ["list"],
          /--keys: expected a file that exists; `deno task keys add NAME --keys keys\.json` makes it/,
        ],
        [["add"], /missing required argument 'name'/],
        [["add", "a b"], /Allowed: 1 to 64 letters/],
        [["add", "a", "b"], /'b' belongs to no option/],
        [["add", "a", "--expires", "2020-01-01"], /--expires .* Allowed: a number of days such as 90d/],
        [["add", "a", "--images", "0"], /--images .* Allowed: a whole number/],
      ] as const
    ) {
      const { code, out, err } = await run(...args);
      assert.deepEqual([code, out], [2, ""], args.join(" "));
      assert.match(err, problem);
    }
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  });
});

Deno.test("an end is a number of days or a date in the future", () => {
  const expires = (when: string) => {
    const command = readKeysCommand(["add", "a", "--expires", when], NOW);
    return command.action === "add" ? command.key.expires : undefined;
  };
  assert.equal(expires("90d"), "2026-08-30T12:00:00.000Z");
  assert.equal(expires("2026-06-02"), "2026-06-02T00:00:00.000Z");
  assert.equal(expires("2026-06-01T12:00:01Z"), "2026-06-01T12:00:01.000Z");
});
