/** Standard output that fails: nobody reads it, or no disk takes it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { listCheckpoints } from "../../lib/files/checkpoint.ts";
import { Output } from "../../terminal/output.ts";
import { denoArguments, makeMaterial, runTask, TRAINING } from "../support/command.ts";
import { canMount, onSmallDisk } from "../support/small_disk.ts";
import { inTemporaryDirectory, systemError } from "../support/train/directories.ts";

const POSIX = { ignore: Deno.build.os === "windows" };
/** Device on which every write finds a full disk. */
const FULL = { ignore: Deno.build.os !== "linux" };

/** A stream that fails as a pipe does, or a file. */
function stream() {
  const listeners: ((error: Error) => void)[] = [];
  return {
    text: "",
    thrown: undefined as Error | undefined,
    write(text: string) {
      if (this.thrown) throw this.thrown;
      this.text += text;
    },
    on: (_event: "error", listener: (error: Error) => void) => void listeners.push(listener),
    fail: (error: Error) => listeners.forEach((listener) => listener(error)),
  };
}

Deno.test("output that nobody reads any more is dropped without a word", () => {
  const [out, err] = [stream(), stream()];
  const output = new Output(out, err);
  const codes: unknown[] = [];
  output.onFailure(({ code }) => codes.push(code));
  output.write("one\n");
  out.fail(systemError("EPIPE"));
  out.fail(systemError("EPIPE"));
  output.write("two\n");
  output.onFailure(({ code }) => codes.push(code));
  assert.deepEqual([out.text, err.text, codes, output.incomplete], ["one\n", "", ["EPIPE", "EPIPE"], false]);
});

Deno.test("output that no disk takes goes on to standard error, with the reason", () => {
  const [out, err] = [stream(), stream()];
  const output = new Output(out, err);
  output.write("one\n");
  out.thrown = systemError("ENOSPC");
  output.write("two\n");
  output.write("three\n");
  assert.equal(out.text, "one\n");
  assert.match(err.text, /^error: cannot write standard output: the disk is full; .*\ntwo\nthree\n$/);
  assert.equal(output.incomplete, true);
  err.thrown = systemError("ENOSPC");
  output.write("four\n");
});

/** Runs a command that is given as one list of words. */
async function outcomeOf([command, ...args]: readonly string[], cwd: string) {
  const { code, stdout, stderr } = await new Deno.Command(command, { args, cwd, env: { NO_COLOR: "1" } })
    .output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, err };
}

/** The command that runs a task with its output led somewhere by a shell. */
function redirected(where: string, name: string, args: readonly string[]): string[] {
  return ["sh", "-c", `"$@" ${where}`, "sh", Deno.execPath(), ...denoArguments(name, args)];
}

Deno.test({
  name:
    "a disk that fills up under the log ends training with a save, and says why and how to go on (mounts)",
  ignore: !canMount,
  async fn() {
    await inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory, 300);
      const flags = [...TRAINING.slice(0, 4), "--batch", "1", "--out", "run", "--log-every", "1", "--json"];
      await Deno.mkdir(join(directory, "disk"));
      const script = 'disk=$1 && shift && exec "$@" > "$disk/log"';
      const task = [join(directory, "disk"), Deno.execPath(), ...denoArguments("train", flags)];
      const { code, err } = await outcomeOf(onSmallDisk(8, script, task), directory);
      const [reason, ...events] = err.trim().split("\n");
      assert.match(reason, /^error: cannot write standard output: the disk is full; /);
      const last = JSON.parse(events.at(-1)!);
      assert.deepEqual([code, last.type, last.interrupted], [1, "end", true]);
      const [{ step }] = await listCheckpoints(join(directory, "run"));
      assert.equal(step, last.step);
      assert.ok(step > 0 && step < 540, `${step}`);
    });
  },
});

Deno.test(
  "no room for the first line of a log: training ends before its first step, and sample draws all the same",
  FULL,
  async () => {
    await inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory);
      const train = await outcomeOf(
        redirected("> /dev/full", "train", [...TRAINING, "--out", "run"]),
        directory,
      );
      assert.equal(train.code, 1);
      assert.match(train.err, /^error: cannot write standard output: the disk is full; /);
      assert.match(train.err, /\nstopped before the first step; there is nothing to resume\n$/);
      await runTask(
        "train",
        [...TRAINING, "--steps", "2", "--sample-every", "0", "--out", "other"],
        directory,
      );
      const flags = ["--model", "other", "--steps", "2", "--count", "1"];
      const sample = await outcomeOf(redirected("> /dev/full", "sample", flags), directory);
      assert.equal(sample.code, 0);
      assert.match(
        sample.err,
        /^error: cannot write standard output: the disk is full; [\s\S]*images? in samples\.png\n$/,
      );
      assert.ok(Deno.statSync(join(directory, "samples.png")).isFile);
    });
  },
);

Deno.test(
  "a reader that takes one line, or none, keeps nobody from a picture or an exported model",
  POSIX,
  async () => {
    await inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory);
      await runTask("train", [...TRAINING, "--steps", "2", "--sample-every", "0", "--out", "run"], directory);
      const model = ["--model", "run"];
      for (
        const [reader, name, args, file] of [
          ["| head -1", "sample", ["--steps", "30", "--out", "one.png"], "one.png"],
          ["| true", "sample", ["--steps", "30", "--out", "none.png"], "none.png"],
          ["| true", "export", ["--out", "model"], "model/unet/diffusion_pytorch_model.safetensors"],
        ] as const
      ) {
        const { err } = await outcomeOf(redirected(reader, name, [...model, ...args]), directory);
        assert.equal(err, "", file);
        assert.ok(Deno.statSync(join(directory, file)).isFile, file);
      }
      assert.equal((await outcomeOf(redirected("| true", "train", ["--help"]), directory)).err, "");
    });
  },
);
