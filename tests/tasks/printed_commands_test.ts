/** Commands that the tasks print: pasted into a shell, they do what they say and nothing else. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { dataPathOf } from "../../tasks/run_data.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { digest } from "../support/train/micro.ts";
import { makeMaterial, type Outcome, runTask, startTask, TRAINING } from "../support/command.ts";

const POSIX = { ignore: Deno.build.os === "windows" };

/** Arguments of `deno` if a printed command is pasted into a shell, in a directory. */
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

for (const name of ["$(touch pwned)", "#1", "a b"]) {
  const test = `a class named ${
    JSON.stringify(name)
  } and a directory with a space can be pasted, and colour nothing`;
  Deno.test(test, POSIX, async () => {
    await inTemporaryDirectory(async (directory) => {
      const { code, out, err } = await trainOn([name, "zebra"], "my runs/it's", directory);
      assert.deepEqual([code, err], [0, ""]);
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(out, /[\u0000-\u0009\u000b-\u001f]/);
      const command = /^draw images: (deno task .*)$/m.exec(out)![1];
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

Deno.test("a class folder with control characters in its name is named without them", POSIX, async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, err } = await trainOn(["\u001b[31m", "zebra"], "run", directory);
    assert.equal(code, 1);
    assert.match(err, /^error: .*\\u001b\[31m/);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(err, /[\u0000-\u0009\u000b-\u001f]/);
  });
});

/** SHA-256 of a run's model. */
function modelOf(run: string): string {
  return digest(Deno.readFileSync(join(run, "unet/diffusion_pytorch_model.safetensors")));
}

Deno.test(
  "a run on one's own images can be resumed by the command that it prints when stopped",
  POSIX,
  async () => {
    await inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory);
      const flags = [...TRAINING, "--epochs", "25", "--sample-every", "0"];
      const whole = await runTask("train", [...flags, "--out", "whole"], directory);
      assert.equal(whole.code, 0, whole.err);
      const running = startTask("train", [...flags, "--out", "my run"], directory);
      await running.until((line) => line.startsWith("epoch 1:"));
      running.child.kill("SIGINT");
      const { code, out } = await running.outcome();
      assert.equal(code, 130);
      const command = /^stopped after step \d+; resume with: (deno task train .*)$/m.exec(out)![1];
      const [, task, ...args] = await argumentsOf(command, directory);
      assert.deepEqual([task, ...args], ["train", "--resume", "my run"]);

      const [images, moved] = [join(directory, "images"), join(directory, "moved")];
      await Deno.rename(images, moved);
      const gone = await runTask(task, args, directory);
      assert.equal(gone.code, 1);
      assert.match(
        gone.err,
        /^error: .*images: the images that this run was started with \(digest [\da-f]{12}\) are no longer there; .*--data PATH\n$/,
      );
      await Deno.mkdir(join(images, "dark"), { recursive: true });
      await Deno.copyFile(join(moved, "dark/0.png"), join(images, "dark/0.png"));
      const other = await runTask(task, args, directory);
      assert.equal(other.code, 2);
      assert.match(
        other.err,
        /^error: --data: expected the images this run was started with, .*images \(digest ([\da-f]{12})\), got ".*images \(digest (?!\1)[\da-f]{12}\)"\n$/,
      );
      await Deno.remove(images, { recursive: true });
      await Deno.rename(moved, images);
      const resumed = await runTask(task, args, directory);
      assert.deepEqual([resumed.code, resumed.err], [0, ""]);
      assert.match(resumed.out, /^resumed after step \d+$/m);
      assert.equal(modelOf(join(directory, "my run")), modelOf(join(directory, "whole")));
    });
  },
);

Deno.test(
  "a run in use is not resumed a second time, which is reported before the data is read",
  POSIX,
  async () => {
    await inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory);
      const flags = [...TRAINING, "--epochs", "1000", "--sample-every", "0", "--out", "run"];
      const running = startTask("train", flags, directory);
      await running.until((line) => line.startsWith("epoch 1:"));
      // The line stands before the checkpoint does.
      await running.until((line) => line.startsWith("epoch 20:"));
      const { code, out, err } = await runTask("train", ["--resume", "run", "--data", "nowhere"], directory);
      const { pid } = running.child;
      const inUse = new RegExp(
        `^error: run is in use by another process \\(process ${pid} since .*\\): wait for it, stop it, or choose another directory\n$`,
      );
      assert.match(err, inUse);
      assert.deepEqual([code, out], [1, ""]);
      running.child.kill("SIGINT");
      assert.equal((await running.outcome()).code, 130);
    });
  },
);

Deno.test("data that has moved is named anew on resume, and known from then on", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    const flags = ["--sample-every", "0", "--json"];
    await runTask("train", [...TRAINING, ...flags, "--steps", "2", "--out", "run"], directory);
    await Deno.rename(join(directory, "images"), join(directory, "moved"));
    const resume = ["--resume", "run", ...flags];
    const named = await runTask("train", [...resume, "--data", "moved", "--steps", "3"], directory);
    assert.deepEqual([named.code, named.err], [0, ""]);
    const known = await runTask("train", [...resume, "--steps", "4"], directory);
    assert.deepEqual([known.code, known.err], [0, ""]);
  });
});

Deno.test("a run of a version that kept no path finds its data by name, or asks for it before anything is fetched", async () => {
  await inTemporaryDirectory(async (directory) => {
    const data = { name: "images", digest: "0123456789abcdef" };
    const path = (name: string) => dataPathOf({ ...data, name });
    assert.equal(await path("cifar10"), undefined);
    assert.equal(await path(directory), directory);
    await assert.rejects(
      path(join(directory, "images")),
      /^ConfigError: --data: expected the path of the images that this run was started with \(digest 0123456789ab\)/,
    );
  });
});
