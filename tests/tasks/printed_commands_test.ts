/** Commands that the tasks print: pasted into a shell, they do what they say and nothing else. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { makeMaterial, type Outcome, runTask, TRAINING } from "../support/command.ts";

/** What `deno` is given where a printed command is pasted into a shell, in a directory. */
async function argumentsOf(command: string, cwd: string): Promise<string[]> {
  const script = `deno() { printf '%s\\0' "$@"; }; ${command}`;
  const { stdout, stderr } = await new Deno.Command("bash", { args: ["-c", script], cwd }).output();
  assert.equal(new TextDecoder().decode(stderr), "");
  return new TextDecoder().decode(stdout).split("\0").slice(0, -1);
}

/** A run in `directory` that is stopped after a few steps, on classes of these names. */
async function trainOn(classes: readonly string[], out: string, directory: string): Promise<Outcome> {
  await makeMaterial(directory);
  for (const [i, name] of ["light", "dark"].entries()) {
    await Deno.rename(join(directory, "images", name), join(directory, "images", classes[i]));
  }
  return await runTask(
    "train",
    [...TRAINING, "--steps", "2", "--sample-every", "0", "--out", out],
    directory,
  );
}

for (const name of ["$(touch pwned)", "#1", "a b", "\u001b[31m"]) {
  const test = `a class named ${
    JSON.stringify(name)
  } and a directory with a space can be pasted, and colour nothing`;
  Deno.test(test, { ignore: Deno.build.os === "windows" }, async () => {
    await inTemporaryDirectory(async (directory) => {
      const { code, out, err } = await trainOn([name, "zebra"], "my runs/it's", directory);
      assert.deepEqual([code, err], [0, ""]);
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(out, /[\u0000-\u0009\u000b-\u001f]/);
      const command = /^draw from it: (deno task .*)$/m.exec(out)![1];
      assert.deepEqual(
        await argumentsOf(command, directory),
        ["task", "sample", "--model", "my runs/it's", "--class", name],
      );
      assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [
        "images",
        "my runs",
        "network.json",
      ]);
      const sample = await runTask(
        "sample",
        ["--model", "my runs/it's", "--class", "\u001b[31mzebra"],
        directory,
      );
      assert.equal(sample.code, 2);
      assert.match(sample.err, /^error: --class: expected .*\\u001b\[31mzebra/);
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(sample.err, /[\u0000-\u0009\u000b-\u001f]/);
    });
  });
}
